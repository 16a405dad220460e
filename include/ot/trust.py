"""Which OPC UA servers the mirror trusts, and the certificate by which servers know the mirror.

    python -m include.ot.trust list
    python -m include.ot.trust accept NAME
    python -m include.ot.trust reject NAME
    python -m include.ot.trust renew

A server's certificate that nobody accepted is refused and kept in `pki/rejected/`; accepting moves it to
`pki/trusted/`. Trust is in this one certificate, not in its issuer: a renewed one is accepted again, by a person
who compared its thumbprint. How, on both sides: docs/how-to/opcua-certificates.md
"""

import hashlib
import os
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp

from asyncua.crypto.cert_gen import (
    dump_private_key_as_pem,
    generate_private_key,
    generate_self_signed_app_certificate,
)
from asyncua.crypto.uacrypto import der_from_x509, x509
from asyncua.crypto.validator import ExtendedKeyUsageOID

from include.errors import HnaiError, OtError, UnsafeSecret
from include.settings import ROOT, settings

VALID_DAYS = 3 * 365
WARN_BEFORE = timedelta(days=30)
PRODUCT = "hnai-ot-mirror"


_MAKE = {"trust": 'make ot-trust ARGS="{}"', "browse": 'make ot-browse URL="{}"'}


def command(program: str, words: str) -> str:
    """How a person starts `include.ot.<program>` here: by make on the platform, by Python on a bridge's own host."""
    if (ROOT / "Makefile").is_file():
        return _MAKE[program].format(words)
    return f"cd {ROOT} && {sys.executable} -m include.ot.{program} {words}"


class NotTrusted(OtError):
    """A server's certificate is unknown, changed, expired or not valid yet; the message says what to do."""


@dataclass(frozen=True)
class Certificate:
    """What a person compares before he trusts."""

    name: str  # of its file, without the ending
    subject: str
    application_uri: str
    thumbprint: str  # SHA-1 in hex: what OPC UA tools show
    valid_from: datetime
    valid_until: datetime
    der: bytes
    path: Path | None = None

    @property
    def ends(self) -> str | None:
        """That it ends within 30 days, or has ended."""
        now = datetime.now(UTC)
        if self.valid_until - now > WARN_BEFORE:
            return None
        return f"{'ends' if self.valid_until > now else 'ended'} on {self.valid_until:%Y-%m-%d}"

    def __str__(self) -> str:
        return (
            f"{self.name} ({self.subject}, {self.application_uri or 'no application URI'}, thumbprint "
            f"{self.thumbprint}, valid {self.valid_from:%Y-%m-%d} to {self.valid_until:%Y-%m-%d})"
        )


@dataclass(frozen=True)
class Own:
    """The mirror's own certificate and key."""

    certificate: Certificate
    key_path: Path

    @property
    def warning(self) -> str | None:
        """What to tell on-call when the certificate ends within 30 days, or has ended."""
        ends = self.certificate.ends
        return ends and (
            f"The mirror's own certificate {ends}. Renew it ({command('trust', 'renew')}), trust the new one on every "
            "server, restart the bridges"
        )


class Pki:
    """The folder of certificates: `own/`, `trusted/`, `rejected/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.own_dir, self.trusted_dir, self.rejected_dir = (folder / n for n in ("own", "trusted", "rejected"))

    def own(self) -> Own:
        """The mirror's certificate and key, made at first use. Raises `UnsafeSecret` when others may read the key."""
        certificate, key = self.own_dir / "certificate.der", self.own_dir / "key.pem"
        if not (certificate.is_file() and key.is_file()):
            self._make_own()
        if key.stat().st_mode & 0o077:
            raise UnsafeSecret(key)
        return Own(_load(certificate), key)

    def renew(self) -> Own:
        """A new key and certificate under the same application URI; the old pair is kept beside it."""
        old = self.own()
        kept = self.folder / f"own-until-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
        self.own_dir.rename(kept)
        self._make_own(old.certificate.application_uri)
        return self.own()

    def trusted(self) -> list[Certificate]:
        return list(_certificates(self.trusted_dir))

    def rejected(self) -> list[Certificate]:
        return list(_certificates(self.rejected_dir))

    def check(self, der: bytes, url: str) -> Certificate:
        """The certificate that a server showed, if it is trusted and valid now; `NotTrusted` otherwise.

        A valid one that nobody accepted is kept in `rejected/`, so that accepting it is one command.
        """
        shown = _parse(der)
        now = datetime.now(UTC)
        if shown.valid_until < now:
            raise NotTrusted(
                f"The certificate of {url} expired on {shown.valid_until:%Y-%m-%d %H:%M} UTC: {shown}. The server's "
                "owner must renew it; the new one is then accepted here"
            )
        if shown.valid_from > now:
            raise NotTrusted(
                f"The certificate of {url} is valid only from {shown.valid_from:%Y-%m-%d %H:%M} UTC: {shown}. "
                f"Here it is {now:%Y-%m-%d %H:%M} UTC: is the clock of this host right, or that of the server?"
            )
        trusted = self.trusted()
        for known in trusted:
            if known.der == der:
                return known
        waiting = next((known for known in self.rejected() if known.der == der), None)  # under whatever name
        if waiting is None:
            _write(self.rejected_dir / f"{shown.name}.der", der)
        name = waiting.name if waiting else shown.name
        same = [k for k in trusted if k.application_uri and k.application_uri == shown.application_uri]
        if same:
            reason = (
                f"The certificate of {url} is not the one that was accepted. Accepted: {same[0]}. Shown now: {shown}. "
                "If the server's owner says that it was renewed and the thumbprint is right, accept it"
            )
        else:
            reason = (
                f"The certificate of {url} is not trusted yet: {shown}. Compare the thumbprint with the one that the "
                "server itself shows, then accept it"
            )
        raise NotTrusted(f"{reason}: {command('trust', f'accept {name}')}")

    def accept(self, name: str) -> tuple[Certificate, list[Certificate]]:
        """Trust a certificate of `rejected/`; gives it, and what it replaces (same application URI), now rejected."""
        accepted = _named(name, self.rejected_dir, "No certificate of that name waits in")
        replaced = [k for k in self.trusted() if k.application_uri and k.application_uri == accepted.application_uri]
        for old in replaced:
            _move(old, self.rejected_dir)
        return _move(accepted, self.trusted_dir), replaced

    def reject(self, name: str) -> Certificate:
        """Trust a certificate no longer."""
        return _move(_named(name, self.trusted_dir, "No certificate of that name is trusted in"), self.rejected_dir)

    def _make_own(self, application_uri: str | None = None) -> None:
        """Both files appear at once, so that bridges that start together agree on one pair."""
        host = socket.gethostname()
        uri = application_uri or f"urn:{host}:{PRODUCT}"
        key = generate_private_key()
        certificate = generate_self_signed_app_certificate(
            key,
            PRODUCT,
            {},
            [x509.UniformResourceIdentifier(uri), x509.DNSName(host)],
            [ExtendedKeyUsageOID.CLIENT_AUTH],
            days=VALID_DAYS,
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        made = Path(mkdtemp(prefix="own-", dir=self.folder))
        _write(made / "key.pem", dump_private_key_as_pem(key), 0o600)
        _write(made / "certificate.der", der_from_x509(certificate))
        try:
            made.rename(self.own_dir)
        except OSError:  # another bridge was first
            shutil.rmtree(made)
            if not (self.own_dir / "key.pem").is_file():
                raise OtError(
                    f"{self.own_dir} holds something, but not certificate.der and key.pem. Move it away"
                ) from None


def pki() -> Pki:
    """The mirror's own folder of certificates."""
    return Pki(settings.ot_dir / "pki")


def _parse(data: bytes, name: str = "", path: Path | None = None) -> Certificate:
    try:
        found = x509.load_pem_x509_certificate(data) if b"-----BEGIN" in data else x509.load_der_x509_certificate(data)
        names = found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        subject = names[0].value if names else found.subject.rfc4514_string()
        uris = _application_uris(found)
        der = der_from_x509(found)
    except ValueError as error:
        raise OtError(f"{path or 'What the server showed'} is no certificate that can be read: {error}") from error
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", str(subject)).strip("-").lower()[:40] or "server"
    return Certificate(
        name=name or f"{slug}-{hashlib.sha256(der).hexdigest()[:12]}",
        subject=str(subject),
        application_uri=uris[0] if uris else "",
        thumbprint=hashlib.sha1(der, usedforsecurity=False).hexdigest(),
        valid_from=found.not_valid_before_utc,
        valid_until=found.not_valid_after_utc,
        der=der,
        path=path,
    )


def _application_uris(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _load(path: Path) -> Certificate:
    return _parse(path.read_bytes(), path.stem, path)


def _certificates(folder: Path) -> Iterator[Certificate]:
    for path in sorted(folder.glob("*")):
        if path.suffix in (".der", ".pem", ".crt", ".cer"):
            yield _load(path)


def _named(name: str, folder: Path, otherwise: str) -> Certificate:
    known = list(_certificates(folder))
    fitting = [c for c in known if c.name == name] or [c for c in known if c.name.startswith(name)]
    if len(fitting) != 1:
        names = ", ".join(c.name for c in fitting or known) or "none"
        raise OtError(
            f"{'Several names fit' if fitting else otherwise} {folder}: {names}. Give one of them; all are shown by: "
            f"{command('trust', 'list')}"
        )
    return fitting[0]


def _move(certificate: Certificate, folder: Path) -> Certificate:
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / certificate.path.name
    certificate.path.replace(target)
    return _load(target)


def _write(path: Path, content: bytes, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    part.replace(path)


def main(argv: list[str] | None = None) -> int:
    from argparse import ArgumentParser

    parser = ArgumentParser(prog="python -m include.ot.trust", description="Certificates of OPC UA servers, and ours.")
    verbs = parser.add_subparsers(dest="verb")
    verbs.add_parser("list", help="our certificate, those trusted, those that wait (the default)")
    verbs.add_parser("accept", help="trust a server's certificate").add_argument("name")
    verbs.add_parser("reject", help="trust one no longer").add_argument("name")
    verbs.add_parser("renew", help="make the mirror a new key and certificate")
    args = parser.parse_args(argv)
    try:
        _run(args.verb or "list", getattr(args, "name", ""))
    except HnaiError as error:
        print(error)
        return 1
    return 0


def _run(verb: str, name: str) -> None:
    store = pki()
    if verb == "accept":
        accepted, replaced = store.accept(name)
        print(f"Trusted: {accepted}. The bridges connect at their next try")
        for old in replaced:
            print(f"No longer trusted, since it was replaced: {old}")
    elif verb == "reject":
        print(f"No longer trusted: {store.reject(name)}. Restart the bridge to end a connection that is open")
    elif verb == "renew":
        print(f"New: {store.renew().certificate}. Trust it on every server, then restart the bridges")
    else:
        own = store.own()
        print(f"own       {own.certificate}\n          {own.certificate.path}")
        if own.warning:
            print(f"          {own.warning}")
        for certificate in store.trusted():
            print(f"trusted   {certificate}{_ends(certificate)}")
        waiting = store.rejected()
        for certificate in waiting:
            print(f"rejected  {certificate}{_ends(certificate)}")
        if waiting:
            print(f"Accept one: {command('trust', 'accept NAME')}")


def _ends(certificate: Certificate) -> str:
    return f": {certificate.ends}" if certificate.ends else ""


if __name__ == "__main__":
    raise SystemExit(main())
