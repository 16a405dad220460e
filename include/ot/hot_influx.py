r"""The hot store behind Influx line protocol over HTTP: VictoriaMetrics, QuestDB, InfluxDB.

    ot_readings,tag_id=MES-001.tubing_head_pressure value=912.5,quality=0i 1764000000000000
    ot_readings,tag_id=MES-001.mode,sequence=1 value_text="No \"Data\"",quality=2147483648i 1764000000000000

Times are in microseconds. `sequence` above 0 is a tag, so that samples of one time do not overwrite each other.
Writing a line again changes nothing, so a segment is sent again until it was answered; and since such servers answer
some seconds before they write to disk, the last `AGAIN` is sent once more over every new connection.

A server may hold less than it is sent. VictoriaMetrics keeps numbers alone (a boolean is 0 or 1, a text is 0), times to
the millisecond, about 15 digits over the values of a tag that it stores together, and lines that came twice are one
only with `-dedup.minScrapeInterval=1ms`. The lake has everything.
"""

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pyarrow as pa
import pyarrow.compute as pc
import requests

from include.errors import OtError
from include.ot.hot import Part
from include.ot.spool import SpoolReader
from include.ot.spool_file import file_name
from include.settings import settings

log = logging.getLogger(__name__)

MEASUREMENT = "ot_readings"
LINES = 5_000  # in one request
TIMEOUT_S = (5, 30)
AGAIN_SEGMENTS = 1_000
AGAIN = timedelta(seconds=15)  # VictoriaMetrics may lose 5 s when it is killed
BAD_LINES = (400, 413, 422)  # the server has read the lines and does not take them; asking again would not help
REFUSED, REFUSED_FILES = "hot_refused", 1_000  # folder of the spool, and how many batches are kept there
_SKIP = pc.JoinOptions(null_handling="skip")


class InfluxStore:
    """Where `settings.ot.influx_url` points to; its path and query are kept (`…/write?db=ot`)."""

    name = "influx"

    def __init__(self, reader: SpoolReader) -> None:
        self._reader = reader
        self._session = requests.Session()
        self._url, self._shown = _addresses(settings.ot.influx_url)
        self._endpoint: tuple | None = None  # our end of the connection that is in use

    def close(self) -> None:
        self._session.close()

    def progress(self, spool: str) -> int:
        """What was said to the spool itself, less `AGAIN`: a server of lines does not know what it was sent."""
        taken = self._reader.progress("hot")
        back = [segment for segment in self._reader.sealed(taken - AGAIN_SEGMENTS) if segment.number <= taken]
        recent = [segment for segment in back if segment.sealed_at >= back[-1].sealed_at - AGAIN]
        return recent[0].number - 1 if recent else taken

    def expire(self, first_day: datetime) -> None:
        """The server has a retention of its own."""

    def store(self, parts: Sequence[Part]) -> dict[str, int]:
        counts = dict.fromkeys(("stored", "refused", "too_old", "too_early", "corrupt_segments"), 0)
        for part in parts:
            for i, batch in enumerate(_batches(part.readings)):
                counts["refused" if self._write(part, i, batch) else "stored"] += len(batch)
            counts["too_old"] += part.too_old
            counts["too_early"] += part.too_early
            counts["corrupt_segments"] += part.corrupt is not None
        return counts

    def _write(self, part: Part, batch_number: int, batch: list[str]) -> str | None:
        """Send some lines. Why the server does not take them, or None; raises `OtError` to be tried again."""
        body = "\n".join(batch).encode() + b"\n"
        try:
            answer = self._session.post(self._url, body, timeout=TIMEOUT_S, stream=True)
            endpoint = _own_end(answer)
            text = answer.text
        except requests.RequestException as error:
            raise OtError(
                f"The hot store at {self._shown} does not answer: {type(error).__name__}. The spool keeps the readings"
            ) from error
        if answer.ok:
            self._check_endpoint(endpoint)
            return None
        reason = f"{answer.status_code} {answer.reason}: {text.strip()[:500]}"
        if answer.status_code not in BAD_LINES:
            raise OtError(
                f"The hot store at {self._shown} answers {reason}. Is HNAI_OT__INFLUX_URL right? The spool keeps the "
                "readings"
            )
        path = self._reader.folder / REFUSED / f"{file_name(part.segment.number)}-{batch_number}.txt"
        path.parent.mkdir(exist_ok=True)
        if len(list(path.parent.iterdir())) < REFUSED_FILES:
            path.write_bytes(f"# {reason}\n".encode() + body)
        log.error(
            "The hot store at %s refuses %d readings of segment %d: %s. The lake has them; what was sent is in %s",
            self._shown,
            len(batch),
            part.segment.number,
            reason,
            path,
        )
        return reason

    def _check_endpoint(self, endpoint: tuple | None) -> None:
        """Raise `OtError` where the connection was lost unseen: the server may be another process by now."""
        before, self._endpoint = self._endpoint, endpoint
        if before and endpoint and before != endpoint:
            raise OtError(f"The connection to the hot store at {self._shown} was lost; the last {AGAIN} is sent again")


def _own_end(answer: requests.Response) -> tuple | None:
    """Our end of an answer's connection, before its text is read; None where the server ends each by its own wish."""
    wire = answer.raw.connection
    return wire.sock.getsockname() if wire and wire.sock else None


def lines(readings: pa.Table) -> list[str]:
    """Readings as lines. A value that line protocol has no form for (infinity) leaves the quality alone."""
    double = readings["value_double"]
    fields = pc.binary_join_element_wise(
        _named("value=", pc.if_else(pc.is_finite(double), double, None).cast(pa.string())),
        _named('value_text="', _escaped(readings["value_text"], '\\"'), '"'),
        _named("value_bool=", readings["value_bool"].cast(pa.string())),
        _named("quality=", readings["quality"].cast(pa.string()), "i"),
        ",",
        options=_SKIP,
    )
    sequence = readings["sequence"]
    repeated = pc.if_else(pc.greater(sequence, 0), sequence, None).cast(pa.string())
    tags = pc.binary_join_element_wise(
        MEASUREMENT,
        _named("tag_id=", _escaped(readings["tag_id"], "\\ ,=")),
        _named("sequence=", repeated),
        ",",
        options=_SKIP,
    )
    times = readings["observed_at"].cast(pa.int64()).cast(pa.string())
    return pc.binary_join_element_wise(tags, fields, times, " ").to_pylist()


def _batches(readings: pa.Table) -> Iterator[list[str]]:
    for start in range(0, readings.num_rows, LINES):
        yield lines(readings.slice(start, LINES))


def _named(before: str, values: pa.ChunkedArray, after: str = "") -> pa.ChunkedArray:
    return pc.binary_join_element_wise(before, values, after, "")


def _escaped(texts: pa.ChunkedArray, special: str) -> pa.ChunkedArray:
    """A backslash before each special character. A line break, which ends a line for some servers, is a space."""
    texts = pc.replace_substring_regex(texts, "[\r\n]", " ")
    for character in special:
        texts = pc.replace_substring(texts, character, "\\" + character)
    return texts


def _addresses(url: str) -> tuple[str, str]:
    """Where to write to, and the same without a password, for messages."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise OtError(f"HNAI_OT__INFLUX_URL is {url!r}; it must be http://host:port or https://host:port")
    path = parts.path.rstrip("/")
    if not path.endswith("/write"):
        path += "/write"
    query = urlencode([*parse_qsl(parts.query), ("precision", "u")])
    shown = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, "", ""))
    return urlunsplit((parts.scheme, parts.netloc, path, query, "")), shown
