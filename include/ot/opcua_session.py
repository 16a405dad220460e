"""Connecting to an OPC UA server: security, certificates, user, and words for what goes wrong."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, fields
from urllib.parse import urlparse

from asyncua import ua
from asyncua.crypto import security_policies, uacrypto

from include.errors import DeclarationError, HnaiError, OtError
from include.ot.opcua_guard import ReadOnlyClient
from include.ot.sources import Source
from include.ot.trust import PRODUCT, Own, Pki, pki
from include.settings import secret

POLICIES = {
    "None": security_policies.SecurityPolicyNone,
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    "Aes128Sha256RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256Sha256RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
}
MODES = {"Sign": ua.MessageSecurityMode.Sign, "SignAndEncrypt": ua.MessageSecurityMode.SignAndEncrypt}
HOW_TO = "docs/how-to/opcua-certificates.md"

_DOING = {
    "endpoints": "asking for its endpoints",
    "connection": "connecting",
    "channel": "opening a secure channel",
    "session": "making a session",
    "user": "logging on",
}
_CODES = ua.StatusCodes
_CERTIFICATE = {
    _CODES.BadSecurityChecksFailed,
    _CODES.BadCertificateUntrusted,
    _CODES.BadCertificateInvalid,
    _CODES.BadCertificateUriInvalid,
    _CODES.BadCertificateTimeInvalid,
    _CODES.BadCertificateUseNotAllowed,
    _CODES.BadCertificateRevoked,
    _CODES.BadCertificateChainIncomplete,
}
_USER = {
    _CODES.BadUserAccessDenied,
    _CODES.BadIdentityTokenRejected,
    _CODES.BadIdentityTokenInvalid,
    _CODES.BadUserSignatureInvalid,
}
_FULL = {_CODES.BadTooManySessions, _CODES.BadMaxConnectionsReached, _CODES.BadTcpNotEnoughResources}
GONE = {_CODES.BadSessionIdInvalid, _CODES.BadSessionClosed, _CODES.BadSessionNotActivated}


class CannotConnect(OtError):
    """The server does not let us in; the message says why and what to do."""


class Unreachable(CannotConnect):
    """Nobody answers."""


@dataclass(frozen=True)
class Options:
    """What a source of kind opcua may say in its YAML."""

    security: str = "Basic256Sha256"  # policy: None, Basic256Sha256, Aes128Sha256RsaOaep, Aes256Sha256RsaPss
    mode: str = "SignAndEncrypt"  # or Sign
    user: str = ""  # anonymous where empty
    secret: str = ""  # name of the password's file in the secrets folder; ot_<source> where empty
    plain_password: bool = False  # whether the password may travel unencrypted, where a server takes it no other way
    publishing_ms: float = 500  # how often the server sends what has changed
    sampling_ms: float = 1000  # how often it looks, where the dictionary says nothing
    queue_size: int = 50  # samples that it keeps per tag between two publishings, and during a cut
    keep_alive_s: float = 5  # silence after which the server says that it is there
    channel_s: float = 3600  # how often the keys of the secure channel are renewed
    session_s: float = 60  # how long it keeps our session during a cut; what it queued meanwhile is not lost
    down_s: float = 5  # outage after which the tags are said to be without communication
    timeout_s: float = 10  # longest wait for an answer
    reconnect_max_s: float = 30  # longest wait between two tries
    retry_s: float = 60  # how often nodes that are not there are looked for again
    items_per_subscription: int = 10_000
    history: bool = True  # whether the server may be asked for history
    history_chunk: int = 5000  # values per node in one answer

    @property
    def is_secure(self) -> bool:
        return self.security != "None"


COMMON = ("topic",)  # keys of a source's YAML that the bridge itself reads


def options_of(source: Source) -> Options:
    """The source's options, checked; `DeclarationError` names the one that cannot be used."""
    known = {f.name: f.type for f in fields(Options)}
    given: dict[str, object] = {}
    for name, value in source.options.items():
        if name in COMMON:
            continue
        where = f"Source {source.name}: {name}"
        if name not in known:
            raise DeclarationError(f"{where} is no option of an OPC UA source; it has {', '.join(known)}")
        kind = known[name]
        if kind in (int, float):
            if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                raise DeclarationError(f"{where} is {value!r}, not a number above 0")
            value = kind(value)
        elif kind is bool and not isinstance(value, bool):
            raise DeclarationError(f"{where} is {value!r}, neither true nor false")
        elif kind is str:
            value = "" if value is None else str(value)
        given[name] = value
    if not given.get("security", "None"):
        given["security"] = "None"
    options = Options(**given)
    for name, value, choice in (("security", options.security, POLICIES), ("mode", options.mode, MODES)):
        if value not in choice:
            raise DeclarationError(f"Source {source.name}: {name} is {value!r}, none of {', '.join(choice)}")
    return options


class Session(ReadOnlyClient):
    """A session on one server: opened, taken up again after a cut, closed."""

    def __init__(self, source: Source, options: Options, store: Pki) -> None:
        super().__init__(source.url, options.timeout_s)
        self.source, self.options, self.store = source, options, store
        self.own: Own = store.own()
        self.server_certificate = None
        self.application_uri = self.own.certificate.application_uri
        self.name = self.description = PRODUCT
        self.session_timeout = int(options.session_s * 1000)
        self.secure_channel_timeout = int(options.channel_s * 1000)
        if options.user:
            self.set_user(options.user)
            self.set_password(secret(options.secret or f"ot_{source.name}"))

    @property
    def host(self) -> str:
        return f"{self.server_url.hostname}:{self.server_url.port}"

    async def open(self) -> None:
        """Connect and log on. Raises `CannotConnect` or `NotTrusted`; then nothing is left open."""
        try:
            if self.options.is_secure:
                await self._choose_endpoint()
            await self._open_channel()
            with self._told("session"):
                await self.create_session()
            self._check_identity()
            with self._told("user"):
                await self._activate_with_credentials()
        except CannotConnect as error:
            await (self.abandon() if isinstance(error, Unreachable) else self.close())
            raise
        except BaseException:
            await self.abandon()
            raise
        self._start_renew_loop()

    async def resume(self) -> None:
        """Take up the session again on a new connection.

        Raises `Unreachable` where it is worth another try, and `CannotConnect` where the server has forgotten us.
        """
        await self._stop_renewing()
        self.abort()
        kept = self.security_policy.peer_certificate
        try:
            if not self.options.is_secure:
                self.security_policy.peer_certificate = None
            await self._open_channel()
            self.security_policy.peer_certificate = kept
            self.uaclient.session.rebind_authentication_token()
            with self._told("user"):
                await self._activate_with_credentials()
        except BaseException:
            self.security_policy.peer_certificate = kept
            self.abort()
            raise
        self._start_renew_loop()

    async def close(self) -> None:
        """Log off, so that the server keeps nothing of us; a server that is away is not waited for."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(self.options.timeout_s):
                if self.uaclient.protocol is not None and not self.uaclient.protocol.is_closed:
                    await self.close_session()
                    await self.close_secure_channel()
        await self.abandon()

    async def abandon(self) -> None:
        """Let go of the connection without a word to the server."""
        self.uaclient.request_disconnect()
        await self._stop_renewing()
        self.abort()

    def wait_for_answers(self, timeout_s: float) -> None:
        """Wait so long for every answer from here on."""
        self.uaclient._timeout = timeout_s
        if self.uaclient.protocol is not None:
            self.uaclient.protocol.timeout = timeout_s

    def abort(self) -> None:
        """End the connection at once, also one whose other side is silent."""
        protocol = self.uaclient.protocol
        if protocol is not None and protocol.transport is not None:
            protocol.transport.abort()
        self.disconnect_socket()

    async def _stop_renewing(self) -> None:
        await self._cancel_task(self._renew_channel_task)
        self._renew_channel_task = None

    async def _choose_endpoint(self) -> None:
        """Find the endpoint that the source asks for and pin its certificate, if it is trusted."""
        scout = ReadOnlyClient(self.source.url, self.options.timeout_s)
        with self._told("endpoints"):
            endpoints = await scout.connect_and_get_server_endpoints()
        policy, mode = POLICIES[self.options.security], MODES[self.options.mode]
        fitting = [e for e in endpoints if e.SecurityPolicyUri == policy.URI and e.SecurityMode == mode]
        if not fitting:
            raise CannotConnect(
                f"{self.source.url} does not offer {self.options.security} {self.options.mode}. It offers: "
                f"{', '.join(offers(endpoints))}. Change security and mode of the source, or the server"
            )
        if not fitting[0].ServerCertificate:
            raise CannotConnect(f"{self.source.url} offers {self.options.security} but shows no certificate")
        der = first_certificate(fitting[0].ServerCertificate)
        self.server_certificate = self.store.check(der, self.source.url)
        await self.set_security(
            policy,
            uacrypto.CertProperties(self.own.certificate.path, "der"),
            uacrypto.CertProperties(self.own.key_path, "pem"),
            server_certificate=uacrypto.CertProperties(der, "der"),
            mode=mode,
        )

    async def _open_channel(self) -> None:
        with self._told("connection"):
            await self.connect_socket()
        try:
            with self._told("channel"):
                await self.send_hello()
                await self.open_secure_channel()
        except BaseException:
            self.abort()
            raise

    def _check_identity(self) -> None:
        """Refuse to send a password that others could read, and say early when a user is (not) wanted."""
        offered = {token.TokenType for token in self._policy_ids}
        if not self.options.user:
            if offered and ua.UserTokenType.Anonymous not in offered:
                raise CannotConnect(
                    f"{self.source.url} lets nobody in anonymously. Give source {self.source.name} a user, and its "
                    f"password as the secret ot_{self.source.name}; to browse an undeclared one: --user, --secret"
                )
            return
        if offered and ua.UserTokenType.UserName not in offered:
            raise CannotConnect(f"{self.source.url} takes no user and password. Take user out of {self.source.name}")
        policy = self.server_policy(ua.UserTokenType.UserName)
        is_plain = policy.SecurityPolicyUri in ("", None, POLICIES["None"].URI)
        if is_plain and (not self.options.is_secure or self.options.mode == "Sign"):
            if not self.options.plain_password:
                raise CannotConnect(
                    f"{self.source.url} would get the password unencrypted. Set security and mode: SignAndEncrypt of "
                    f"source {self.source.name}; on a wire that nobody else can reach, plain_password: true"
                )
        elif not self.options.is_secure:
            der = self.security_policy.peer_certificate
            if not der:
                raise CannotConnect(f"{self.source.url} wants the password encrypted but shows no certificate")
            self.server_certificate = self.store.check(first_certificate(der), self.source.url)

    @contextlib.contextmanager
    def _told(self, step: str) -> Iterator[None]:
        """Turn what goes wrong in a step into words."""
        try:
            yield
        except HnaiError:
            raise
        except Exception as error:  # a wrong signature, too, has a class of its own
            is_silent = isinstance(error, TimeoutError) and step != "channel"
            is_away = isinstance(error, OSError) and step in ("connection", "endpoints")
            raise (Unreachable if is_silent or is_away else CannotConnect)(self._words(step, error)) from error

    def _words(self, step: str, error: Exception) -> str:
        url, certificate = self.source.url, self.own.certificate
        if isinstance(error, socket.gaierror):
            return f"{url}: the name {self.server_url.hostname!r} is not known here. Check the url, DNS or /etc/hosts"
        if isinstance(error, ConnectionRefusedError):
            return f"{url}: nothing listens at {self.host}. Is the server running, and is the port right?"
        if isinstance(error, TimeoutError) and step in ("connection", "endpoints"):
            return f"{url}: {self.host} does not answer. Check that the host is up, the route and the firewall"
        code = getattr(error, "code", None)
        if code in _CERTIFICATE or (step == "channel" and self.options.is_secure):
            said = f"it said {type(error).__name__}" if code else "it broke off without a word"
            return (
                f"{url} refused our certificate ({said}). On the server, trust {certificate.subject} with thumbprint "
                f"{certificate.thumbprint} ({certificate.path}); how: {HOW_TO}"
            )
        if code in _USER or (step == "user" and code == _CODES.BadInternalError):
            who = f"the user {self.options.user!r}" if self.options.user else "an anonymous user"
            name = self.options.secret or f"ot_{self.source.name}"
            hint = f"Check the name, and the password in the secret {name}" if self.options.user else "Give it a user"
            return f"{url} refused {who} ({type(error).__name__}). {hint}"
        if code in _FULL:
            return f"{url} has no session free ({type(error).__name__}). Close one, or raise the server's limit"
        doing = _DOING[step]
        if isinstance(error, TimeoutError):
            return f"{url} did not answer within {self.options.timeout_s:g} s while {doing}"
        return f"{url}: {type(error).__name__} while {doing}: {error or 'no reason given'}"


async def connect(source: Source, store: Pki | None = None) -> Session:
    """A session on the source's server, logged on. Raises `CannotConnect`, `NotTrusted` or `DeclarationError`."""
    try:
        url = urlparse(source.url)
        is_address = url.scheme == "opc.tcp" and bool(url.hostname and url.port)
    except ValueError:  # a port that is none
        is_address = False
    if url.username or url.password:
        raise DeclarationError(
            f"Source {source.name}: the url holds a user or password. Put the user into the option user, the password "
            f"into the secret ot_{source.name}"
        )
    if not is_address:
        raise DeclarationError(f"Source {source.name}: {source.url!r} is no address like opc.tcp://host:4840/path")
    session = Session(source, options_of(source), store or pki())
    await session.open()
    return session


async def strongest(source: Source) -> Source:
    """A source whose security is "best", with the strongest policy and mode that its server offers now.

    For looking at a server by hand. A declared source says what it expects, or somebody on the wire could take the
    stronger offers away.
    """
    if source.options.get("security") != "best":
        return source
    scout = Session(Source(source.name, source.kind, source.url, {"security": "None"}), Options(), pki())
    with scout._told("endpoints"):
        endpoints = await scout.connect_and_get_server_endpoints()
    security, _, mode = next((o for o in offers(endpoints) if o.split()[0] in POLICIES), "None").partition(" ")
    chosen = source.options | {"security": security} | ({"mode": mode} if mode else {})
    return Source(source.name, source.kind, source.url, chosen)


def offers(endpoints: list[ua.EndpointDescription]) -> list[str]:
    """What endpoints offer, in the words of a source's YAML, strongest first."""
    names = {policy.URI: name for name, policy in POLICIES.items()}
    modes = {mode: name for name, mode in MODES.items()}
    ordered = sorted(endpoints, key=lambda e: -int(e.SecurityLevel or 0))
    return list(
        dict.fromkeys(
            f"{names.get(e.SecurityPolicyUri, e.SecurityPolicyUri)} {modes.get(e.SecurityMode, '')}".strip()
            for e in ordered
        )
    )


def first_certificate(der: bytes) -> bytes:
    """The certificate itself where a server sends it with its issuers behind it."""
    length = der[1]
    if length < 0x80:
        return der[: 2 + length]
    digits = length & 0x7F
    return der[: 2 + digits + int.from_bytes(der[2 : 2 + digits], "big")]
