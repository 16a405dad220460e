"""The OPC UA side cannot write: proven on the wire, with the rights to, on a server that would let it."""

from datetime import UTC, datetime, timedelta

import pytest
from asyncua import Client, ua

from include.ot import opcua_guard, probe
from include.ot.browse import browse
from include.ot.opcua import read_once
from include.ot.opcua_guard import SERVICES, WriteRefused
from include.ot.opcua_history import history
from include.ot.opcua_session import connect
from include.ot.trust import Pki
from tests.ot.opcua_server import PASSWORD, USER, certificate, field_server
from tests.ot.opcua_trial import live, mirrored, operator, tag
from tests.ot.test_opcua_security import SECURE, trusting

pytestmark = pytest.mark.platform
CHANGING = {
    "Write",
    "Call",
    "HistoryUpdate",
    "AddNodes",
    "AddReferences",
    "DeleteNodes",
    "DeleteReferences",
    "RegisterNodes",
    "TransferSubscriptions",
    "ModifySubscription",
    "DeleteSubscriptions",
    "ModifyMonitoredItems",
}


@live
async def test_all_that_the_mirror_does_reaches_the_server_as_services_that_only_read(tmp_path):
    """Connect, browse, subscribe, lose the connection, lose the session, retag, read history, probe, read once."""
    shown = certificate()
    trusting(tmp_path / "pki", shown)
    store = Pki(tmp_path / "pki")
    async with field_server(certificate=shown, policies=SECURE, anonymous=False) as field:
        await field.add("a", 1.0, eu_range=(0, 9))
        await field.add("b", 1.0)
        await field.server.historize_node_data_change(field.node("a"))
        of = operator(field, security="Basic256Sha256", retry_s=0.1, channel_s=1.0)
        percent = tag(field, "a", deadband=1.0, deadband_type="percent", range_low=0.0, range_high=9.0)
        async with mirrored(of, [percent, tag(field, "gone")], tmp_path) as (client, pit):
            await pit.got("a", 1.0)
            field.cut()
            await field.set("a", 2.0)
            await pit.got("a", 2.0)
            field.forget()
            await field.set("a", 3.0)
            await pit.got("a", 3.0)
            field.behaviour.drop_publish = 1
            await field.set("a", 4.0)
            await field.set("b", 4.0)
            await pit.got("a", 4.0)
            await client.retag([percent, tag(field, "b")])
            await pit.got("b", 4.0)
            await field.server.delete_nodes([field.node("b")])
            await pit.until(lambda: "b" in pit.detail["errors"], "the node that went")
            renewed = field.seen["OpenSecureChannel"] + 1
            await pit.until(lambda: field.seen["OpenSecureChannel"] > renewed, "new keys")
        with (tmp_path / "found.csv").open("w") as out:
            field.behaviour.per_browse = 1
            await browse(of, out, store=store)
        await read_once(of, [percent], store)
        assert (await probe.probe("a", [percent], of, store)).status == probe.WELL
        now = datetime.now(UTC)
        assert [s async for s in history(of, [percent], now - timedelta(hours=1), now, store)]
        seen = set(field.seen)

        ordinary = Client(field.url.replace("//", f"//{USER}:{PASSWORD}@"))
        await ordinary.set_security_string(await _paths(tmp_path, shown))
        async with ordinary:
            await ordinary.get_node(field.node("a").nodeid).write_value(99.0)
        assert field.seen["Write"] == 1 and await field.node("a").read_value() == 99.0

    assert seen <= set(SERVICES), seen - set(SERVICES)
    assert seen >= set(SERVICES) - {"CloseSecureChannel"}, "a service on the list that nothing uses"


async def _paths(folder, shown) -> str:
    own = Pki(folder / "pki").own()
    return f"Basic256Sha256,SignAndEncrypt,{own.certificate.path},{own.key_path},{folder / 'pki/trusted/server.der'}"


@live
async def test_code_that_tries_to_write_is_refused_before_the_wire(tmp_path):
    async with field_server() as field:
        node = await field.add("a", 1.0)
        folder = await field.server.nodes.objects.add_folder(field.idx, "folder")
        method = await folder.add_method(field.idx, "stop", lambda parent: [], [], [])
        session = await connect(operator(field, plain_password=True), Pki(tmp_path))
        try:
            ours = session.get_node(node.nodeid)
            low = session.uaclient.session
            tries = {
                "Write": [
                    lambda: ours.write_value(2.0),
                    lambda: session.write_values([ours], [2.0]),
                    lambda: low.write_attributes([node.nodeid], [ua.DataValue(2.0)]),
                    lambda: session.uaclient.protocol.send_request(ua.WriteRequest()),
                    lambda: session.register_namespace("urn:new"),
                ],
                "Call": [lambda: session.get_node(folder.nodeid).call_method(method.nodeid)],
                "HistoryUpdate": [lambda: low.history_update(ua.HistoryUpdateParameters())],
                "AddNodes": [lambda: session.get_node(folder.nodeid).add_variable(field.idx, "x", 1)],
                "AddReferences": [lambda: low.add_references([ua.AddReferencesItem()])],
                "DeleteNodes": [lambda: session.delete_nodes([ours])],
                "DeleteReferences": [lambda: low.delete_references([ua.DeleteReferencesItem()])],
                "RegisterNodes": [lambda: session.register_nodes([ours])],
                "TransferSubscriptions": [
                    lambda: low.transfer_subscriptions(ua.TransferSubscriptionsParameters(SubscriptionIds=[1]))
                ],
                "ModifySubscription": [lambda: low.update_subscription(ua.ModifySubscriptionParameters())],
                "DeleteSubscriptions": [lambda: low.delete_subscriptions([1])],
                "ModifyMonitoredItems": [lambda: low.modify_monitored_items(ua.ModifyMonitoredItemsParameters())],
            }
            assert set(tries) == CHANGING
            for service, ways in tries.items():
                for attempt in ways:
                    with pytest.raises(WriteRefused, match=f"the OPC UA service {service} was refused"):
                        await attempt()

            assert await ours.read_value() == 1.0  # and the session is as good as before
        finally:
            await session.close()
        seen = set(field.seen)

    assert seen <= set(SERVICES)


def test_a_request_in_disguise_is_known_by_its_bytes():
    """What counts is what the server would act on, not the Python class."""
    request = ua.ReadRequest()
    request.TypeId = ua.WriteRequest().TypeId

    with pytest.raises(WriteRefused, match="Write"):
        opcua_guard.check(ua.ua_binary.struct_to_binary(request))


def test_a_request_that_no_standard_knows_is_refused():
    for type_id in (ua.NodeId(631, 3), ua.NodeId("Write", 1), ua.NodeId(999_999, 0)):
        with pytest.raises(WriteRefused):
            opcua_guard.check(ua.ua_binary.nodeid_to_binary(type_id))
