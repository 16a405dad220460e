"""One OPC UA trial: a server of `opcua_server`, a client on it, and what the client told."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from include.ot.opcua import OpcUaClient
from include.ot.sources import Source
from include.ot.tags import Tag
from include.ot.trust import Pki
from include.settings import settings
from tests.ot.opcua_server import PASSWORD, USER, Field, Pit

QUICK = {"security": "None", "publishing_ms": 20, "keep_alive_s": 0.2, "timeout_s": 5, "down_s": 60}


def live(trial: Callable[..., Coroutine]) -> Callable[..., None]:
    """A trial written as a coroutine, run in a loop of its own."""

    @functools.wraps(trial)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(trial(*args, **kwargs))

    return run


def tag(field: Field, name: str, *, tag_id: str | None = None, **more: Any) -> Tag:
    given = {"data_type": "double", "unit": "bar", "address": field.address(name)} | more
    return Tag(
        tag_id=tag_id or name, path=f"plant/area/{name}", asset_id="A", measurement=name, source="field", **given
    )


def source(field: Field, **options: Any) -> Source:
    return Source("field", "opcua", field.url, QUICK | options)


def operator(field: Field, **options: Any) -> Source:
    """The source as seen with the rights of an operator, who may write."""
    path = settings.secrets_dir / "ot_trial"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(PASSWORD)
    return source(field, user=USER, secret="ot_trial", **options)


@contextlib.asynccontextmanager
async def mirrored(
    of: Source, tags: list[Tag], folder: Path, *, connected: bool = True
) -> AsyncIterator[tuple[OpcUaClient, Pit]]:
    """A client that runs, and is stopped at the end as the bridge stops it."""
    pit = Pit()
    client = OpcUaClient(of, pit, Pki(folder / "pki"))
    running = asyncio.create_task(client.run(tags))
    try:
        if connected:
            await pit.until(lambda: pit.is_connected, "the connection")
        yield client, pit
        assert not running.done(), running.result()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
