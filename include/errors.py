"""What can go wrong, as one small family. Every message says what to do next.

HnaiError
 ├─ BadSetting                       a variable of the environment or of .env
 ├─ MissingSecret, UnsafeSecret      settings
 ├─ DeclarationError                 a YAML or seed entry that cannot be used
 ├─ LakehouseError
 │   └─ CommitConflict               somebody else committed first; nothing was changed
 ├─ LandingError                     source, connector or file
 ├─ OtError                          bridge, broker, recorder or mirror
 │   ├─ PayloadError                 a message that is none of ours
 │   ├─ SpoolError                   a segment or the spool's index cannot be used
 │   └─ NoHistory                    the source keeps no history of what is asked
 ├─ GateFailed                       a critical expectation failed and was not accepted
 └─ PublishError
     ├─ LeaseLost                    another run took over; this one must not write
     └─ Superseded                   a later version of the close is already published
"""

from collections.abc import Mapping
from pathlib import Path


class HnaiError(Exception):
    """Base of every error that the platform raises on purpose."""


class MissingSecret(HnaiError):
    def __init__(self, name: str, path: Path) -> None:
        super().__init__(
            f"The secret {name!r} does not exist. The platform makes its own at its first start: make up. "
            f"One of another system is written down by hand: install -m 600 /dev/stdin {path}"
        )


class UnsafeSecret(HnaiError):
    def __init__(self, path: Path) -> None:
        super().__init__(f"Others can read the secret file {path}. Run: chmod 600 {path}")


class BadSetting(HnaiError, SystemExit):
    """A setting that cannot be used. Nothing runs without: uncaught, it ends the program with its message alone."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = message


class DeclarationError(HnaiError):
    """A YAML entry, seed or connector file that cannot be used; the message names file and line or key."""


class LakehouseError(HnaiError):
    """The catalog or object store refused or did not answer."""


class CommitConflict(LakehouseError):
    """Another writer committed first. Nothing was changed; read again and retry."""


class LandingError(HnaiError):
    """A source, connector or partner file cannot be landed; the message names it and what to do."""


class OtError(HnaiError):
    """A bridge, the broker, the recorder or the mirror cannot go on; the message says what to do."""


class PayloadError(OtError):
    """A message that cannot be read; the message names what is wrong in it."""


class SpoolError(OtError):
    """A segment or the index of the spool cannot be used; the message names the file."""


class NoHistory(OtError):
    """The source keeps no history of what is asked; the gap stays one. `reasons` by tag, where some tags have one."""

    def __init__(self, message: str, reasons: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.reasons = dict(reasons or {})


class GateFailed(HnaiError):
    """A critical expectation failed and nobody accepted it for this close."""


class PublishError(HnaiError):
    """A close cannot be published, recovered or rolled back."""


class LeaseLost(PublishError):
    """Another run holds the lease now. Nothing was written; let that run finish."""


class Superseded(PublishError):
    """A later version of this close is published already."""
