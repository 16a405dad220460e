"""HistoryRead for gaps: complete, in order, across chunks, and honest about what has no history."""

from datetime import UTC, datetime, timedelta

import pytest

from include.errors import NoHistory
from include.ot.opcua_history import history
from include.ot.reading import GOOD
from include.ot.trust import Pki
from tests.ot.opcua_server import field_server, until
from tests.ot.opcua_trial import live, source, tag

pytestmark = pytest.mark.platform
START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)


async def remembered(field, name: str, count: int, per_time: int = 1) -> None:
    """A node whose server has kept `count` values, a second apart, or several at one time."""
    node = await field.add(name, -1.0, at=START - timedelta(hours=1))
    await field.server.historize_node_data_change(node, period=None)
    kept = field.server.iserver.history_manager.storage._datachanges[node.nodeid]
    await until(lambda: kept, "the first value")
    for n in range(count):
        await field.set(name, float(n), at=START + timedelta(seconds=n // per_time))
    await until(lambda: len(kept) == count + 1, f"{count} values")


async def asked(of, tags, folder, first: int = 0, last: int = 10_000) -> list:
    between = (START + timedelta(seconds=first), START + timedelta(seconds=last))
    return [sample async for sample in history(of, tags, *between, Pki(folder / "pki"))]


@pytest.mark.parametrize("chunk", [7, 10, 5000], ids=["no points", "no points, full chunks", "one chunk"])
@pytest.mark.parametrize("server_chunk", [3, 10_000], ids=["continuation points", "all at once"])
@live
async def test_all_values_between_two_times_come_once_and_in_order(tmp_path, chunk, server_chunk):
    """A server may give continuation points, or cut at what was asked for without a word."""
    async with field_server(history_chunk=server_chunk) as field:
        await remembered(field, "a", 50)
        await remembered(field, "b", 20)
        tags = [tag(field, "a"), tag(field, "b")]
        samples = await asked(source(field, history_chunk=chunk), tags, tmp_path, first=5, last=40)
        await until(lambda: not field.server.iserver._external_sessions, "the end of the session")

    assert [s.value for s in samples if s.tag_id == "a"] == [float(n) for n in range(5, 41)]
    assert [s.value for s in samples if s.tag_id == "b"] == [float(n) for n in range(5, 20)]
    assert all(s.observed_at == START + timedelta(seconds=int(s.value)) for s in samples)
    assert {s.quality for s in samples} == {GOOD}


@pytest.mark.parametrize("server_chunk", [3, 10_000])
@live
async def test_several_values_of_one_time_come_once_each_across_chunks(tmp_path, server_chunk):
    async with field_server(history_chunk=server_chunk) as field:
        await remembered(field, "a", 40, per_time=2)
        samples = await asked(source(field, history_chunk=7), [tag(field, "a")], tmp_path)

    assert [s.value for s in samples] == [float(n) for n in range(40)]


@live
async def test_a_server_or_node_without_history_is_told_by_name(tmp_path):
    async with field_server() as field:
        await field.add("plain")
        with pytest.raises(NoHistory, match="plain: the node keeps no history"):
            await asked(source(field), [tag(field, "plain")], tmp_path)
        with pytest.raises(NoHistory, match="gone: BadNodeIdUnknown"):
            await asked(source(field), [tag(field, "gone")], tmp_path)
        with pytest.raises(NoHistory, match="nowhere: The server has no namespace"):
            await asked(source(field), [tag(field, "nowhere", address="nsu=urn:x;s=y")], tmp_path)
        with pytest.raises(NoHistory, match="history: false"):
            await asked(source(field, history=False), [tag(field, "plain")], tmp_path)
        await remembered(field, "kept", 3)
        field.behaviour.no_history_service = True
        with pytest.raises(NoHistory, match="the server has no HistoryRead"):
            await asked(source(field), [tag(field, "kept")], tmp_path)


@live
async def test_tags_with_history_are_given_before_those_without_are_told(tmp_path):
    async with field_server() as field:
        await field.add("plain")
        await remembered(field, "kept", 3)
        found = []
        with pytest.raises(NoHistory, match="no history of 1 tags: plain") as refusal:
            async for sample in history(
                source(field),
                [tag(field, "plain"), tag(field, "kept")],
                START,
                START + timedelta(hours=1),
                Pki(tmp_path),
            ):
                found.append(sample.value)

    assert found == [0.0, 1.0, 2.0] and list(refusal.value.reasons) == ["plain"]


@live
async def test_an_interval_in_which_nothing_happened_is_empty_not_an_error(tmp_path):
    async with field_server() as field:
        await remembered(field, "a", 3)
        assert await asked(source(field), [tag(field, "a")], tmp_path, first=100, last=200) == []
