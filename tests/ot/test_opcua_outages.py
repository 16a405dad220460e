"""Cuts, restarts and silence: what is lost is told as a gap, what can be recovered is not lost, and it goes on."""

import asyncio
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest

from include.ot.reading import BAD_NO_COMMUNICATION, GOOD
from tests.ot.opcua_server import certificate, field_server, until
from tests.ot.opcua_trial import live, mirrored, operator, source, tag
from tests.ot.test_opcua_security import SECURE, trusting

pytestmark = pytest.mark.platform
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def causes(pit) -> list[str]:
    return [cause for *_, cause in pit.gaps]


@live
async def test_nothing_is_lost_in_a_short_cut(tmp_path):
    """The server queues meanwhile; what it sent into the cut is asked for again. So there is no gap to tell."""
    async with field_server() as field:
        await field.add("flow", 0.0, at=NOON)
        async with mirrored(source(field, queue_size=1000), [tag(field, "flow")], tmp_path) as (_, pit):
            await pit.got("flow", 0.0)
            for n in range(1, 301):
                await field.set("flow", float(n), at=NOON + timedelta(seconds=n))
                if n % 60 == 0:
                    field.cut()
                await asyncio.sleep(0.002)
            await pit.got("flow", 300.0)

            assert field.seen["CreateSession"] == 1 and field.seen["ActivateSession"] > 1

    assert [v for v in pit.values("flow") if v is not None] == [float(n) for n in range(301)]
    assert pit.gaps == []


@live
async def test_messages_that_got_lost_are_asked_for_again_and_are_a_gap_where_the_server_has_them_no_more(tmp_path):
    async with field_server() as field:
        await field.add("flow", 0.0)
        async with mirrored(source(field), [tag(field, "flow")], tmp_path) as (_, pit):
            await pit.got("flow", 0.0)
            field.behaviour.drop_publish = 2
            for left in (1, 0):
                await field.set("flow", 2.0 - left)
                await until(lambda left=left: field.behaviour.drop_publish == left, "the loss")
            await field.set("flow", 3.0)
            await pit.got("flow", 1.0, 2.0, 3.0)
            assert pit.gaps == []

            field.behaviour.forget_messages, field.behaviour.drop_publish = True, 1
            await field.set("flow", 4.0)
            await until(lambda: field.behaviour.drop_publish == 0, "the loss")
            before = datetime.now(UTC)
            await field.set("flow", 5.0)
            await pit.got("flow", 5.0)

    assert 4.0 not in pit.values("flow")
    ((tags, from_at, to_at, cause),) = pit.gaps
    assert (tags, cause) == (("flow",), "connection_lost") and from_at < before < to_at


@live
async def test_a_restarted_server_with_other_namespace_numbers_is_subscribed_again_and_the_outage_is_a_gap(tmp_path):
    async def plant(field) -> None:
        await field.add("steady", 5.0, at=NOON)
        await field.add("flow", 1.0, at=NOON)

    async with field_server(setup=plant) as first:
        tags = [tag(first, "flow"), tag(first, "steady")]
        mirroring = mirrored(source(first, down_s=0.05), tags, tmp_path)
        client, pit = await mirroring.__aenter__()
        await pit.got("flow", 1.0)
        await pit.got("steady", 5.0)
        port, number = first.server.bserver.port, first.idx
    stopped = datetime.now(UTC)
    try:
        await pit.got("flow", 1.0, None)
        assert not pit.is_connected and "nothing listens" in pit.detail["last_error"]
        async with field_server(port=port, before=("urn:other", "urn:another"), setup=plant) as second:
            assert second.idx != number
            await pit.until(lambda: pit.is_connected, "the new connection")
            back = datetime.now(UTC)
            await second.set("flow", 2.0, at=NOON + timedelta(seconds=1))
            await pit.got("flow", 1.0, None, 2.0)
            await pit.got("steady", 5.0, None, 5.0, 5.0)
            await mirroring.__aexit__(None, None, None)
    except BaseException:
        await mirroring.__aexit__(None, None, None)
        raise

    ((gap_tags, from_at, to_at, cause),) = pit.gaps
    assert (set(gap_tags), cause) == ({"flow", "steady"}, "connection_lost")
    assert from_at < stopped < back < to_at + timedelta(seconds=1) and to_at - from_at < timedelta(minutes=2)
    *_, lost, again, now = pit.of("steady")
    assert (lost.quality, lost.observed_at) == (BAD_NO_COMMUNICATION, None)
    assert again.observed_at == NOON  # a repetition: no reading comes of it
    assert (now.value, now.quality, now.observed_at) == (5.0, GOOD, None) and now.received_at > lost.received_at


@live
async def test_a_value_that_did_not_change_in_an_outage_does_not_stay_bad(tmp_path):
    """The session is taken up again, so the server has no reason to send it; it is read."""
    async with field_server() as field:
        await field.add("valve", 1.0, at=NOON)
        async with mirrored(source(field, down_s=0.01, timeout_s=1), [tag(field, "valve")], tmp_path) as (_, pit):
            await pit.got("valve", 1.0)
            field.behaviour.is_silent = True
            field.cut()
            await pit.got("valve", 1.0, None)
            field.behaviour.is_silent = False
            await pit.until(lambda: pit.is_connected, "the connection")
            await pit.got("valve", 1.0, None, 1.0, 1.0)

    *_, lost, again, now = pit.of("valve")
    assert (lost.quality, again.observed_at, now.observed_at) == (BAD_NO_COMMUNICATION, NOON, None)


@live
async def test_a_server_that_forgot_the_session_but_not_its_address_is_a_gap_and_a_new_session(tmp_path):
    async with field_server() as field:
        await field.add("flow", 1.0)
        async with mirrored(source(field), [tag(field, "flow")], tmp_path) as (_, pit):
            await pit.got("flow", 1.0)
            field.forget()
            await field.set("flow", 2.0)
            await pit.got("flow", 2.0)

            assert field.seen["CreateSession"] == 2 and causes(pit) == ["connection_lost"]


@live
async def test_a_dictionary_that_changes_while_the_server_falls_silent_holds_in_a_new_session(tmp_path):
    async with field_server() as field:
        for name in ("old", "new"):
            await field.add(name, 1.0)
        async with mirrored(source(field, timeout_s=0.5), [tag(field, "old")], tmp_path) as (client, pit):
            await pit.got("old", 1.0)
            field.behaviour.is_silent = True
            await client.retag([tag(field, "new")])  # is asked for, and never answered
            field.behaviour.is_silent = False
            await pit.got("new", 1.0)
            await field.set("new", 2.0)
            await pit.got("new", 2.0)

            assert pit.detail["bound"] == 1 and field.seen["CreateSession"] == 2


@pytest.mark.parametrize("ended", [1, 2], ids=["one of two", "both"])
@live
async def test_a_subscription_that_ended_within_a_session_is_noticed(tmp_path, ended):
    async with field_server() as field:
        for name in ("a", "b"):
            await field.add(name, 1.0)
        of = source(field, timeout_s=0.5, items_per_subscription=1)
        async with mirrored(of, [tag(field, n) for n in ("a", "b")], tmp_path) as (_, pit):
            await pit.got("a", 1.0)
            await pit.got("b", 1.0)
            subscriptions = field.server.iserver.subscription_service
            await subscriptions.delete_subscriptions(list(subscriptions.subscriptions)[:ended])
            await pit.until(lambda: "connection_lost" in causes(pit), "the gap")
            for name in ("a", "b"):
                await field.set(name, 2.0)
                await pit.got(name, 2.0)


@live
async def test_an_outage_that_is_over_in_time_is_no_bad_sample(tmp_path):
    async with field_server() as field:
        await field.add("flow", 1.0, at=NOON)
        started = monotonic()
        async with mirrored(source(field, down_s=2), [tag(field, "flow")], tmp_path) as (_, pit):
            await pit.got("flow", 1.0)
            was_quick = monotonic() - started < 2
            while monotonic() - started < 2.5:
                await asyncio.sleep(0.1)

            assert pit.values("flow") == [1.0] or not was_quick


@live
async def test_a_server_that_falls_silent_is_a_lost_connection(tmp_path):
    async with field_server() as field:
        await field.add("flow", 1.0)
        quick = source(field, timeout_s=0.3, keep_alive_s=0.1, down_s=0.01)
        async with mirrored(quick, [tag(field, "flow")], tmp_path) as (_, pit):
            await pit.got("flow", 1.0)
            field.behaviour.is_silent = True
            await pit.until(lambda: not pit.is_connected, "the loss")
            await pit.got("flow", 1.0, None)
            field.behaviour.is_silent = False
            await field.set("flow", 2.0)
            await pit.got("flow", 2.0)


@live
async def test_a_gap_is_widened_by_the_difference_of_the_clocks(tmp_path):
    async with field_server() as field:
        await field.add("flow", 1.0)
        field.behaviour.clock_off = timedelta(minutes=7)
        async with mirrored(source(field), [tag(field, "flow")], tmp_path) as (_, pit):
            await pit.got("flow", 1.0)
            field.forget()
            await pit.until(lambda: pit.gaps, "the gap")
            ((_, from_at, to_at, _),) = pit.gaps

    assert pit.detail["server"]["clock_ahead_s"] == pytest.approx(420, abs=60)
    assert timedelta(minutes=13) < to_at - from_at < timedelta(minutes=18)


@live
async def test_a_server_that_is_away_at_the_start_is_told_and_waited_for(tmp_path):
    async with field_server() as field:
        port = field.server.bserver.port
        await field.add("flow", 1.0)
        of, tags = source(field, down_s=0.01), [tag(field, "flow")]
    async with mirrored(of, tags, tmp_path, connected=False) as (_, pit):
        await pit.until(lambda: pit.of("flow"), "the bad sample")
        await pit.until(lambda: pit.detail, "the state")

        assert pit.of("flow")[0].quality == BAD_NO_COMMUNICATION
        assert not pit.is_connected and "nothing listens" in pit.detail["last_error"]
        async with field_server(port=port, setup=lambda field: field.add("flow", 3.0)):
            await pit.got("flow", None, 3.0)


@live
async def test_a_dictionary_that_changes_during_a_cut_holds_after_it(tmp_path):
    async with field_server() as field:
        for name in ("old", "new"):
            await field.add(name, 1.0)
        async with mirrored(source(field, timeout_s=0.5), [tag(field, "old")], tmp_path) as (client, pit):
            await pit.got("old", 1.0)
            field.behaviour.is_silent = True
            field.cut()
            await pit.until(lambda: not pit.is_connected, "the cut")
            await client.retag([tag(field, "new")])
            field.behaviour.is_silent = False
            await pit.got("new", 1.0)

            assert pit.detail["bound"] == 1 and field.monitored == 1


@live
async def test_the_keys_of_the_channel_are_renewed_without_losing_a_sample_also_after_a_cut(tmp_path):
    shown = certificate()
    async with field_server(certificate=shown, policies=SECURE) as field:
        await field.add("flow", 0.0, at=NOON)
        trusting(tmp_path / "pki", shown)
        of = operator(field, security="Basic256Sha256", channel_s=0.4, queue_size=1000)
        told = 0

        async def measure() -> None:
            nonlocal told
            while True:
                told += 1
                await field.set("flow", float(told), at=NOON + timedelta(milliseconds=told))
                await asyncio.sleep(0.005)

        async with mirrored(of, [tag(field, "flow")], tmp_path) as (_, pit):
            measuring = asyncio.create_task(measure())
            await until(lambda: field.seen["OpenSecureChannel"] >= 5, "new keys")
            field.cut()
            await until(lambda: field.seen["OpenSecureChannel"] >= 10, "new keys after the cut")
            measuring.cancel()
            await pit.got("flow", float(told))

            assert field.seen["CreateSession"] == 1

    assert [v for v in pit.values("flow") if v is not None] == [float(n) for n in range(told + 1)]
    assert pit.gaps == []


@live
async def test_the_end_leaves_nothing_on_the_server(tmp_path):
    async with field_server() as field:
        await field.add("flow", 1.0)
        async with mirrored(source(field), [tag(field, "flow")], tmp_path) as (_, pit):
            await pit.got("flow", 1.0)

        await until(lambda: not field.server.iserver._external_sessions, "the end of the session")
        assert not field.server.iserver.subscription_service.subscriptions
