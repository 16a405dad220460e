"""A sink that keeps what a client says, and a client that runs for as long as a trial looks at it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, NamedTuple

from include.ot.client import Client
from include.ot.reading import Sample
from include.ot.tags import Tag

PATIENCE_S = 60.0  # machines are noisy


class Told(NamedTuple):
    tag_ids: tuple[str, ...]
    from_at: datetime
    to_at: datetime
    cause: str


class Listener:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.gaps: list[Told] = []
        self.is_connected: bool | None = None
        self.detail: Mapping[str, Any] = {}
        self.client: asyncio.Task | None = None  # that it listens to, once it runs

    def put(self, samples: Sequence[Sample]) -> None:
        self.samples.extend(samples)

    def gap(self, tag_ids: Sequence[str], from_at: datetime, to_at: datetime, cause: str) -> None:
        self.gaps.append(Told(tuple(tag_ids), from_at, to_at, cause))

    def state(self, is_connected: bool, detail: Mapping[str, Any]) -> None:
        self.is_connected, self.detail = is_connected, dict(detail)

    async def settle(self) -> None:
        await asyncio.sleep(0)

    def of(self, tag_id: str) -> list[Sample]:
        return [sample for sample in self.samples if sample.tag_id == tag_id]

    def values(self, tag_id: str) -> list[Any]:
        return [sample.value for sample in self.of(tag_id)]

    def last(self, tag_id: str) -> Sample | None:
        return next((sample for sample in reversed(self.samples) if sample.tag_id == tag_id), None)

    async def until(self, condition: Callable[["Listener"], object]) -> Any:
        """Wait until the condition gives something true; returns that."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while not (found := condition(self)):
            if self.client is not None and self.client.done():
                self.client.result()
            assert asyncio.get_running_loop().time() < deadline, f"it never came; state: {self.detail}"
            await asyncio.sleep(0.005)
        return found


@asynccontextmanager
async def running(client: Client, tags: Sequence[Tag]) -> AsyncIterator[None]:
    task = client.sink.client = asyncio.create_task(client.run(tags))
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def tag(tag_id: str, address: str | None = None, data_type: str = "double", **rest: Any) -> Tag:
    return Tag(
        tag_id=tag_id,
        path=f"hnai/here/{tag_id}",
        asset_id="A",
        measurement="m",
        source="device",
        address=tag_id if address is None else address,
        data_type=data_type,
        unit="1",
        **rest,
    )
