"""Policies, certificates on both sides, the trust step, users; and that each refusal says what to do."""

import stat
from datetime import UTC, datetime, timedelta

import pytest
from asyncua import ua
from asyncua.common.utils import ServiceError

from include.errors import DeclarationError, MissingSecret, OtError, UnsafeSecret
from include.ot import trust
from include.ot.opcua_session import CannotConnect, Unreachable, connect
from include.ot.sources import Source
from include.ot.trust import NotTrusted, Own, Pki
from tests.ot.opcua_server import USER, certificate, field_server
from tests.ot.opcua_trial import live, mirrored, operator, source, tag

pytestmark = pytest.mark.platform
P = ua.SecurityPolicyType
SECURE = [
    P.NoSecurity,
    P.Basic256Sha256_Sign,
    P.Basic256Sha256_SignAndEncrypt,
    P.Aes128Sha256RsaOaep_SignAndEncrypt,
    P.Aes256Sha256RsaPss_Sign,
    P.Aes256Sha256RsaPss_SignAndEncrypt,
]


def trusting(folder, shown: tuple[bytes, bytes]) -> Pki:
    """A folder of certificates that trusts the server's."""
    store = Pki(folder)
    store.trusted_dir.mkdir(parents=True, exist_ok=True)
    (store.trusted_dir / "server.der").write_bytes(shown[0])
    return store


@pytest.mark.parametrize(
    ("security", "mode"),
    [
        ("Basic256Sha256", "Sign"),
        ("Basic256Sha256", "SignAndEncrypt"),
        ("Aes128Sha256RsaOaep", "SignAndEncrypt"),
        ("Aes256Sha256RsaPss", "Sign"),
        ("Aes256Sha256RsaPss", "SignAndEncrypt"),
        ("None", "SignAndEncrypt"),
    ],
)
@live
async def test_values_come_over_every_policy_with_user_and_password(tmp_path, security, mode):
    shown = certificate()
    trusting(tmp_path / "pki", shown)
    async with field_server(certificate=shown, policies=SECURE, anonymous=False) as field:
        await field.add("a", 1.0)
        async with mirrored(operator(field, security=security, mode=mode), [tag(field, "a")], tmp_path) as (_, pit):
            await pit.got("a", 1.0)
            field.cut()  # and once more, in the same session
            await field.set("a", 2.0)
            await pit.got("a", 2.0)

            assert field.seen["CreateSession"] == 1
            assert pit.detail["user"] == USER
            assert "The server's certificate ends on" in pit.detail["warnings"][0]  # in 30 days


@live
async def test_an_unknown_certificate_is_refused_and_kept_and_the_message_holds_the_command(tmp_path, capsys):
    shown = certificate()
    async with field_server(certificate=shown, policies=SECURE) as field:
        await field.add("a", 1.0)
        of = source(field, security="Basic256Sha256", reconnect_max_s=0.1)
        async with mirrored(of, [tag(field, "a")], tmp_path, connected=False) as (_, pit):
            await pit.until(lambda: pit.detail, "the refusal")
            store = Pki(tmp_path / "pki")
            (kept,) = store.rejected()

            assert kept.der == shown[0]
            assert f'make ot-trust ARGS="accept {kept.name}"' in pit.detail["last_error"]
            assert kept.thumbprint in pit.detail["last_error"]
            assert field.seen["CreateSession"] == 0
            store.accept(kept.name)
            await pit.got("a", 1.0)

    assert store.rejected() == [] and [c.name for c in store.trusted()] == [kept.name]


@live
async def test_a_certificate_that_changed_is_refused_and_accepting_it_ends_the_trust_in_the_old_one(tmp_path):
    old, new = certificate(), certificate()
    store = trusting(tmp_path, old)
    async with field_server(certificate=new, policies=SECURE) as field:
        of = source(field, security="Basic256Sha256")
        with pytest.raises(NotTrusted, match="is not the one that was accepted") as refusal:
            await connect(of, store)
        (kept,) = store.rejected()
        accepted, replaced = store.accept(kept.name[:18])
        session = await connect(of, store)
        await session.close()

    assert f"accept {kept.name}" in str(refusal.value)
    assert accepted.der == new[0] and [c.der for c in replaced] == [old[0]]
    assert [c.der for c in store.rejected()] == [old[0]]


@pytest.mark.parametrize(
    ("days", "said"), [((-30, -1), "expired on"), ((1, 30), "valid only from .* is the clock of this host right")]
)
@live
async def test_a_certificate_out_of_its_time_is_refused_though_it_is_trusted(tmp_path, days, said):
    shown = certificate(days=days)
    store = trusting(tmp_path, shown)
    async with field_server(certificate=shown, policies=SECURE) as field:
        with pytest.raises(NotTrusted, match=said):
            await connect(source(field, security="Basic256Sha256"), store)

        assert store.rejected() == [] and field.seen["CreateSession"] == 0


@live
async def test_a_server_that_does_not_trust_us_is_told_with_what_to_trust_there(tmp_path):
    shown = certificate()
    store = trusting(tmp_path, shown)

    async def refuse(field) -> None:
        async def validate(client_certificate, description) -> None:
            raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)

        field.server.set_certificate_validator(validate)

    async with field_server(certificate=shown, policies=SECURE, setup=refuse) as field:
        with pytest.raises(CannotConnect) as refusal:
            await connect(source(field, security="Basic256Sha256"), store)

    assert "refused our certificate (it said BadCertificateUntrusted)" in str(refusal.value)
    assert store.own().certificate.thumbprint in str(refusal.value)


@live
async def test_a_server_finds_our_application_uri_in_our_certificate(tmp_path):
    """asyncua's own validator, which checks time, URI and both key usages as strict servers do."""
    from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions

    shown = certificate()
    store = trusting(tmp_path, shown)

    async def strict(field) -> None:
        options = CertificateValidatorOptions.EXT_VALIDATION | CertificateValidatorOptions.PEER_CLIENT
        field.server.set_certificate_validator(CertificateValidator(options))

    async with field_server(certificate=shown, policies=SECURE, setup=strict) as field:
        session = await connect(source(field, security="Basic256Sha256"), store)
        await session.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"user": "", "security": "Basic256Sha256"}, "lets nobody in anonymously. Give source field a user"),
        ({"user": "nobody", "security": "Basic256Sha256"}, "refused the user 'nobody' .* the secret ot_trial"),
        ({"security": "Aes128Sha256RsaOaep", "mode": "Sign"}, "does not offer Aes128Sha256RsaOaep Sign. It offers: "),
    ],
)
@live
async def test_a_refusal_says_what_to_change(tmp_path, options, said):
    shown = certificate()
    store = trusting(tmp_path, shown)
    async with field_server(certificate=shown, policies=SECURE, anonymous=False) as field:
        of = operator(field)
        with pytest.raises(CannotConnect, match=said):
            await connect(Source(of.name, of.kind, of.url, of.options | options), store)


@live
async def test_a_password_never_travels_in_the_clear_unless_somebody_says_so(tmp_path):
    async with field_server() as field:
        with pytest.raises(CannotConnect, match="would get the password unencrypted"):
            await connect(operator(field), Pki(tmp_path))
        assert field.seen["ActivateSession"] == 0

        session = await connect(operator(field, plain_password=True), Pki(tmp_path))
        await session.close()


@live
async def test_a_password_is_encrypted_only_for_a_certificate_that_is_trusted(tmp_path):
    """Without a secure channel the server's certificate still encrypts the password: whose is it?"""
    shown = certificate()
    async with field_server(certificate=shown, policies=SECURE) as field:
        with pytest.raises(NotTrusted):
            await connect(operator(field, security="None"), Pki(tmp_path))
        assert field.seen["ActivateSession"] == 0


@live
async def test_a_host_that_is_not_there_is_told_apart_from_one_that_refuses(tmp_path):
    for url, said in (
        ("opc.tcp://127.0.0.1:9", "nothing listens at 127.0.0.1:9"),
        ("opc.tcp://no-such-host.invalid:4840", "the name 'no-such-host.invalid' is not known here"),
    ):
        for security in ("None", "Basic256Sha256"):
            with pytest.raises(Unreachable, match=said):
                await connect(Source("field", "opcua", url, {"security": security}), Pki(tmp_path))


@pytest.mark.parametrize(
    "url", ["scada:4840", "opc.tcp://scada", "opc.tcp://scada:x", "http://scada:4840", "opc.tcp://me:secret@scada:4840"]
)
@live
async def test_an_address_that_cannot_be_used_is_told_before_anything_is_tried(tmp_path, url):
    with pytest.raises(DeclarationError, match="Source field: ") as refusal:
        await connect(Source("field", "opcua", url, {}), Pki(tmp_path))

    assert "secret@" not in str(refusal.value)


@live
async def test_a_secret_that_is_missing_or_open_to_others_is_told(tmp_path):
    async with field_server() as field:
        with pytest.raises(MissingSecret, match="ot_field"):
            await connect(source(field, user=USER), Pki(tmp_path))


def test_our_certificate_is_made_once_with_a_private_key_and_warns_before_it_ends(tmp_path):
    store = Pki(tmp_path / "pki")
    own, again = store.own(), store.own()

    assert own.certificate.der == again.certificate.der
    assert stat.S_IMODE(own.key_path.stat().st_mode) == 0o600
    assert own.certificate.application_uri.startswith("urn:") and own.warning is None
    soon = datetime.now(UTC) + timedelta(days=29)
    ending = Own(trust.Certificate("own", "m", "urn:m", "", soon, soon, b""), own.key_path)
    assert "ends on" in ending.warning and 'make ot-trust ARGS="renew"' in ending.warning

    own.key_path.chmod(0o644)
    with pytest.raises(UnsafeSecret, match="chmod 600"):
        store.own()
    own.key_path.chmod(0o600)
    renewed = store.renew()
    assert renewed.certificate.der != own.certificate.der
    assert renewed.certificate.application_uri == own.certificate.application_uri


def test_the_trust_command_lists_accepts_and_rejects(capsys, monkeypatch, tmp_path):
    store = Pki(tmp_path / "pki")
    monkeypatch.setattr(trust, "pki", lambda: store)
    shown = certificate(name="Pump station 7")
    with pytest.raises(NotTrusted):
        store.check(shown[0], "opc.tcp://pumps:4840")
    (waiting,) = store.rejected()

    assert trust.main(["list"]) == 0
    assert trust.main(["accept", "pump"]) == 0
    assert store.check(shown[0], "opc.tcp://pumps:4840").subject == "Pump station 7"
    assert trust.main(["reject", waiting.name]) == 0
    with pytest.raises(NotTrusted):
        store.check(shown[0], "opc.tcp://pumps:4840")
    assert trust.main(["accept", "nobody"]) == 1
    told = capsys.readouterr().out
    assert f"rejected  {waiting.name}" in told and "No certificate of that name waits" in told


def test_a_rejected_certificate_is_kept_once_under_whatever_name_it_has(tmp_path):
    der = certificate()[0]
    store = Pki(tmp_path / "pki")
    for _ in range(2):
        with pytest.raises(NotTrusted):
            store.check(der, "opc.tcp://field:4840")
    (kept,) = store.rejected()
    kept.path.rename(kept.path.with_name("line-4-as-mailed.crt"))

    with pytest.raises(NotTrusted, match='accept line-4-as-mailed"'):
        store.check(der, "opc.tcp://field:4840")

    assert [c.name for c in store.rejected()] == ["line-4-as-mailed"]


def test_what_is_no_certificate_is_told_by_its_file(tmp_path):
    store = Pki(tmp_path)
    store.trusted_dir.mkdir()
    (store.trusted_dir / "junk.der").write_bytes(b"junk")

    with pytest.raises(OtError, match="junk.der is no certificate"):
        store.trusted()
