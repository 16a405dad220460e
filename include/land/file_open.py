"""Open a partner file without trusting it: name, container, size and encoding are checked before any row is read.

A plain file, one file in gzip, and one file in a zip are taken. Nothing is ever unpacked to disk, so a member's
path can do no harm; it is refused all the same, since an honest sender has no use for one.
"""

import hashlib
import io
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from include.errors import LandingError
from include.settings import settings

MB = 1024 * 1024
CHUNK = 1 * MB
MAX_MEMBERS = 2_000
WORKBOOK_MARK = "[Content_Types].xml"
MACROS = ("vbaproject.bin", "xl/macrosheets/")
_UNSAFE_NAME = re.compile(r"[\x00-\x1f\x7f/\\]|^\.|\.\.|^~|%2f|%5c", re.IGNORECASE)


class BadFile(LandingError):
    """The file as a whole cannot be landed; the message is the reason that quarantine keeps."""


@dataclass(frozen=True)
class Opened:
    """The bytes inside a partner file, once taken out of gzip or zip."""

    name: str  # the name that counts: of the zip's member, or without .gz
    payload: bytes
    sha256: str
    is_workbook: bool


def check_name(name: str) -> None:
    """Refuse a name that could lead out of a folder."""
    if _UNSAFE_NAME.search(name) or PureWindowsPath(name).drive:
        raise BadFile(
            f"The name {name!r} is unsafe (a path, a hidden file or a control character); rename it and send it again"
        )


def logical_name(path: Path) -> str:
    """The name that a feed's pattern is held against, read without unpacking anything."""
    lower = path.name.lower()
    if lower.endswith(".gz"):
        return path.name[:-3]
    if lower.endswith(".zip"):
        try:
            with zipfile.ZipFile(path) as archive:
                members = [m.filename for m in archive.infolist() if not m.is_dir()]
        except (zipfile.BadZipFile, OSError):
            return path.name[:-4]
        return members[0] if len(members) == 1 else path.name[:-4]
    return path.name


def open_file(path: Path, max_bytes: int | None = None) -> Opened:
    """The content of `path`, never more than `settings.landing.file_max_mb` of it. Raises `BadFile` with the reason."""
    limit = max_bytes or settings.landing.file_max_mb * MB
    check_name(path.name)
    if path.is_symlink():
        raise BadFile(f"{path.name} is a link, not a file; put the file itself into the inbox")
    if path.stat().st_size > limit:
        raise BadFile(_too_large(path.name, limit))
    payload = path.read_bytes()
    if not payload:
        raise BadFile("The file is empty (0 bytes); ask the sender for it again")
    name = logical_name(path)
    if payload[:2] == b"\x1f\x8b":
        payload = _gunzip(payload, limit, path.name)
        name = name if path.name.lower().endswith(".gz") else path.name
    elif payload[:4] == b"PK\x03\x04":
        members = _members(payload, limit, path.name)
        if WORKBOOK_MARK not in members:
            name, payload = _single_member(payload, members, path.name)
    elif path.name.lower().endswith((".gz", ".zip")):
        raise BadFile(f"{path.name} is named as an archive but is none; it may be cut short or renamed")
    check_name(name)
    if not payload.strip():
        raise BadFile("The file is empty (nothing but blanks); ask the sender for it again")
    is_workbook = payload[:4] == b"PK\x03\x04"
    if is_workbook:
        members = _members(payload, limit, name)
        if WORKBOOK_MARK not in members:
            raise BadFile(f"{name} is an archive within an archive; send the file itself")
        if found := [m for m in members if m.lower().endswith(MACROS[0]) or m.lower().startswith(MACROS[1])]:
            raise BadFile(
                f"The workbook carries a macro ({found[0]}); nothing was run. Ask for it saved as plain .xlsx"
            )
    return Opened(name, payload, hashlib.sha256(payload).hexdigest(), is_workbook)


def _too_large(name: str, limit: int) -> str:
    return (
        f"{name} is larger than {limit // MB or limit} {'MB' if limit >= MB else 'bytes'} unpacked. "
        "If it is honest, raise HNAI_LANDING__FILE_MAX_MB and release it"
    )


def _gunzip(payload: bytes, limit: int, name: str) -> bytes:
    """Unpack step by step and stop at the limit, so that a bomb costs no more than the limit."""
    out, rest = io.BytesIO(), payload
    try:
        while rest:
            engine = zlib.decompressobj(wbits=31)
            while not engine.eof:
                piece = engine.decompress(rest, CHUNK)
                rest = engine.unconsumed_tail
                if out.write(piece) and out.tell() > limit:
                    raise BadFile(_too_large(name, limit))
                if not piece and not rest and not engine.eof:
                    raise BadFile(f"The gzip file {name} is cut short; ask the sender for it again")
            rest = engine.unused_data.lstrip(b"\0")
    except zlib.error as error:
        raise BadFile(f"The gzip file {name} is damaged ({error}); ask the sender for it again") from error
    return out.getvalue()


def _members(payload: bytes, limit: int, name: str) -> dict[str, zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(io.BytesIO(payload)) as archive:
            members = {m.filename: m for m in archive.infolist() if not m.is_dir()}
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError) as error:
        raise BadFile(f"{name} is a damaged zip or workbook ({error}); ask the sender for it again") from error
    if len(members) > MAX_MEMBERS:
        raise BadFile(f"{name} holds {len(members)} files, more than any honest export")
    for member in members:
        parts = member.replace("\\", "/").split("/")
        if ".." in parts or member.startswith(("/", "\\")) or PureWindowsPath(member).drive:
            raise BadFile(f"{name} holds a member with a path that leads out of its folder ({member!r})")
    if sum(m.file_size for m in members.values()) > limit:  # zipfile never reads past the size stated here
        raise BadFile(_too_large(name, limit))
    return members


def _single_member(payload: bytes, members: dict[str, zipfile.ZipInfo], name: str) -> tuple[str, bytes]:
    if len(members) != 1:
        raise BadFile(f"{name} holds {len(members)} files; a zip must hold exactly one. Send them one by one")
    member = next(iter(members.values()))
    if "/" in member.filename or "\\" in member.filename:
        raise BadFile(f"{name} holds its file in a folder ({member.filename!r}); pack the file alone")
    try:
        with zipfile.ZipFile(io.BytesIO(payload)) as archive:
            return member.filename, archive.read(member)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
        raise BadFile(f"{name} cannot be unpacked ({error}); send it without password and as plain zip") from error


def decode(payload: bytes, encoding: str) -> str:
    """The text, strictly in the declared encoding: a wrong one is named instead of turned into odd letters."""
    if payload.startswith((b"\xff\xfe", b"\xfe\xff")) and "16" not in encoding:
        raise BadFile(
            f"The file is UTF-16, the feed declares {encoding}; ask for {encoding}, or declare `encoding: utf-16`"
        )
    if b"\0" in payload and "16" not in encoding and "32" not in encoding:
        raise BadFile("The file holds NUL bytes: it is binary, or damaged in transfer; ask the sender for it again")
    strict = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
    try:
        text = payload.decode(strict)
    except UnicodeDecodeError as error:
        line = payload[: error.start].count(b"\n") + 1
        raise BadFile(
            f"Byte 0x{payload[error.start]:02x} in line {line} is not {encoding}{_guess(payload)}. "
            "Ask for the declared encoding, or declare the sender's as `encoding:`"
        ) from error
    except LookupError as error:
        raise LandingError(
            f"The feed declares an unknown encoding {encoding!r}; use a Python codec name such as latin-1"
        ) from error
    if not strict.startswith("utf") and not payload.isascii() and _is_utf8(payload):
        raise BadFile(
            f"The file is UTF-8, the feed declares {encoding}: its letters would come out wrong. "
            "Declare `encoding: utf-8`"
        )
    return text


def _is_utf8(payload: bytes) -> bool:
    try:
        payload.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _guess(payload: bytes) -> str:
    """How the odd bytes would read in the usual Western encoding, for a person to judge."""
    odd = re.search(rb"[\w /.-]{0,12}[\x80-\xff][\w /.-]{0,12}", payload)
    return f"; in windows-1252 it would read {odd.group().decode('cp1252', 'replace').strip()!r}" if odd else ""
