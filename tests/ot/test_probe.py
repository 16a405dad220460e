"""One tag, asked now: what is right is shown, what is wrong is said in plain words."""

from datetime import UTC, datetime, timedelta

import pytest
from asyncua import ua

from include.ot import probe as probing
from include.ot.probe import UNKNOWN, WELL, WRONG, probe
from include.ot.sources import Source
from include.ot.trust import Pki
from tests.ot.opcua_server import PASSWORD, certificate, field_server
from tests.ot.opcua_trial import live, operator, source, tag
from tests.ot.test_browse import units
from tests.ot.test_opcua_security import SECURE, trusting

pytestmark = pytest.mark.platform


@live
async def test_a_tag_that_is_well_shows_all_that_the_server_says(tmp_path):
    shown = certificate()
    store = trusting(tmp_path, shown)
    async with field_server(certificate=shown, policies=SECURE) as field:
        await field.add("thp", 42.5, eu_range=(0, 100), units=units("bar"))
        await field.server.historize_node_data_change(field.node("thp"))
        of = operator(field, security="Basic256Sha256")
        one = tag(field, "thp", range_low=0.0, range_high=100.0, deadband=1.0, deadband_type="absolute", owner="me")
        report = await probe("thp", [one], of, store)
    told = str(report)

    assert report.status == WELL and told.endswith("well")
    for part in (
        "double in bar, range 0 to 100, deadband 1 absolute",
        "Basic256Sha256 SignAndEncrypt, user operator: let in",
        "trusted: server (Test server",
        "= ns=2;s=thp on this server now",
        "unit bar, range 0 to 100, keeps history",
        "value        42.5 bar",
        "Good (0x00000000)",
        "s ago",
        "range        inside",
    ):
        assert part in told
    assert PASSWORD not in told


@pytest.mark.parametrize(
    ("more", "value", "said"),
    [
        ({"range_high": 10.0}, {}, "42.5 is outside None to 10.0"),
        ({"unit": "psi"}, {}, "The server gives bar as the unit, the dictionary psi"),
        ({}, {"status": 0x808C0000}, "The source itself says BadSensorFailure"),
        ({}, {"status": 0x40940000}, "The source is uncertain of its value: UncertainEngineeringUnitsExceeded"),
        ({}, {"at": "ahead"}, "The source's clock is .* s ahead of this host's"),
        ({"address": "nsu=urn:x;s=thp"}, {}, "The server has no namespace 'urn:x'; it has http"),
        ({"address": "thp"}, {}, "is no OPC UA address"),
        ({"address": "nsu=urn:hnai:test:field;s=typo"}, {}, "The node is not there .* make ot-browse URL=.field"),
    ],
)
@live
async def test_what_is_wrong_is_said_in_plain_words(tmp_path, more, value, said):
    import re

    async with field_server() as field:
        await field.add("thp", 42.5, units=units("bar"))
        if value.get("at") == "ahead":
            value = {"at": datetime.now(UTC) + timedelta(minutes=5)}
        await field.set("thp", 42.5, **value)
        report = await probe("thp", [tag(field, "thp", **more)], source(field), Pki(tmp_path))

    assert report.status == WRONG and re.search(said, " ".join(report.wrong))


@live
async def test_what_is_not_a_single_value_is_said(tmp_path):
    async with field_server() as field:
        await field.add("profile", [1.0, 2.0], ua.VariantType.Double)
        report = await probe("profile", [tag(field, "profile")], source(field), Pki(tmp_path))

    assert report.status == WRONG and "array of 2" in str(report)


@live
async def test_a_certificate_that_is_not_trusted_and_a_host_that_is_away_are_said(tmp_path):
    async with field_server(certificate=certificate(), policies=SECURE) as field:
        one = [tag(field, "thp")]
        untrusted = await probe("thp", one, source(field, security="Basic256Sha256"), Pki(tmp_path))
    away = await probe(
        "thp", one, Source("field", "opcua", "opc.tcp://127.0.0.1:9", {"security": "None"}), Pki(tmp_path)
    )

    assert 'make ot-trust ARGS="accept test-server-' in str(untrusted) and untrusted.status == WRONG
    assert "nothing listens at 127.0.0.1:9" in str(away) and away.status == WRONG


@live
async def test_an_unknown_tag_is_answered_with_the_nearest(tmp_path):
    async with field_server() as field:
        known = [tag(field, name) for name in ("MES-01.tubing_pressure", "MES-02.tubing_pressure", "EAG-01.choke")]
        report = await probe("mes-01.tubing_presure", known, source(field), Pki(tmp_path))

    assert report.status == UNKNOWN
    assert "Near: MES-01.tubing_pressure, MES-02.tubing_pressure" in str(report)


@live
async def test_a_source_that_sends_by_itself_cannot_be_asked(tmp_path):
    async with field_server() as field:
        report = await probe("thp", [tag(field, "thp")], Source("line", "payload", "", {}), Pki(tmp_path))

    assert report.status == WRONG and "sends by itself" in str(report)


def test_the_command_reads_the_dictionary_of_the_repository(capsys):
    assert probing.main(["no.such.tag"]) == UNKNOWN
    assert "The dictionary has no tag 'no.such.tag'" in capsys.readouterr().out
