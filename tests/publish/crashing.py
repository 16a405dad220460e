"""Publish in a process of its own that stops or dies at a named instant.

`python -m tests.publish.crashing FOLDER RUN WHERE`

WHERE: before-commit, half-commit (only the first table gets in), after-commit, before-seal: killed with SIGKILL;
stopped-before-commit: stopped with SIGSTOP, until somebody sends SIGCONT. tell-when-posting: prints a line then.
"""

import os
import signal
import sys
from pathlib import Path


def main(folder: str, run_id: str, where: str, try_number: str = "1") -> None:
    from include import lakehouse
    from include.publish import intent, seal
    from include.publish.freeze import load_close
    from include.publish.publish import publish
    from tests.publish import tiny

    tiny.declare(Path(folder))
    real_post, real_commit = lakehouse.post_commit, intent.commit

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def post(requests, before_commit=None):
        if where == "half-commit":
            real_post(dict(list(requests.items())[:1]))
            die()
        if where == "before-commit":
            die()
        if where == "tell-when-posting":
            print("posting", flush=True)
        real_post(requests, before_commit)
        if where == "after-commit":
            die()

    def commit(planned, lease):
        if where == "stopped-before-commit":
            os.kill(os.getpid(), signal.SIGSTOP)
        return real_commit(planned, lease)

    def write_seal(planned, lease):
        die()

    lakehouse.post_commit = post
    intent.commit = commit
    if where == "before-seal":
        seal.write = write_seal
    publish(load_close(run_id), try_number=int(try_number))


if __name__ == "__main__":
    main(*sys.argv[1:])
