"""Finish or undo what a crash left half published.

Runs when the platform starts, before a catalog that came back counts as healthy, and before every publish.

    python -m include.publish.recover
"""

import argparse
import logging
import uuid

from include.ops.lease import Lease, hold
from include.publish.intent import open_intents, settle

log = logging.getLogger(__name__)


def recover(pack: str | None = None, *, wait_s: float | None = None) -> list[str]:
    """Settle every open intent of one pack, or of all; give a line for each.

    A publish that is alive finishes its own intent: its lease is waited for, up to `wait_s`.
    """
    said = []
    for name in sorted({intent.pack for intent in open_intents(pack)}):
        with hold(f"publish:{name}", f"recover-{uuid.uuid4()}", wait_s=wait_s) as lease:
            said += settle_pack(name, lease)
    return said


def settle_pack(pack: str, lease: Lease) -> list[str]:
    """Settle the open intents of a pack as the holder of its lease; give a line for each."""
    from include.publish.publish import finish

    said = []
    for intent in open_intents(pack):
        outcome = settle(intent, lease)
        if outcome == "done":
            restated = finish(intent, lease)
            line = (
                f"{intent.publish_id} ({intent.kind} of {intent.run_id}): completed and sealed, {restated} restatements"
            )
        else:
            with lease.guard():
                intent.end(outcome, lease, "settled by recovery")
            line = f"{intent.publish_id} ({intent.kind} of {intent.run_id}): {outcome}; nothing of it is visible"
        log.warning("%s", line)
        said.append(line)
    return said


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m include.publish.recover",
        description="Complete or undo every publish that was interrupted. Safe to run at any time.",
    )
    parser.add_argument("--pack", help="only this pack")
    parser.add_argument(
        "--wait", type=float, metavar="SECONDS", help="how long to wait for a publish that is still alive"
    )
    a = parser.parse_args(arguments)
    lines = recover(a.pack, wait_s=a.wait)
    print("\n".join(lines) if lines else "Nothing was interrupted.")


if __name__ == "__main__":
    main()
