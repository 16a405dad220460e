"""Make the Python environment: a virtual environment, uv into it, then every pinned requirement.

Run by `make` with whatever `python3` there is, so it uses the standard library alone and no recent syntax. A second
run does nothing: the environment remembers the requirements that it was made from.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 13)
UV = "uv==0.13.9"
REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"
NO_VENV = "Python's venv module does not work. On Debian or Ubuntu: apt install python3-venv"
NO_INDEX = "Packages cannot be installed. Is the package index (PIP_INDEX_URL, UV_DEFAULT_INDEX) reachable?"


def main(folder: Path) -> None:
    """Bring the environment in `folder` to the pinned requirements, unless it is there."""
    stamp = folder / ".hnai.json"
    known, wanted = read(stamp), hashlib.sha256(REQUIREMENTS.read_bytes() + UV.encode()).hexdigest()
    if known.get("requirements") == wanted:
        return
    version = sys.version.split()[0]
    if sys.version_info[:2] < OLDEST:
        stop(
            f"This Python is {version} ({sys.executable}); 3.11 or later is needed. "
            f"Install one, or name it: make PYTHON=/path/to/python3.11"
        )
    if sys.version_info[:2] > NEWEST:
        print(f"  note: tried with Python 3.11 to 3.13; this is {version}")
    if not stamp.exists() and folder.is_dir() and any(folder.iterdir()):
        stop(f"{folder} exists and was not made by this `make`, so it is left alone. Name another: make VENV=folder")
    begun = time.time()
    python = folder / "bin" / "python"
    if known.get("python") != sys.version or not python.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write(stamp, {})  # from here on the folder is ours: one that is half made is made again
        step("virtual environment", [sys.executable, "-m", "venv", folder], NO_VENV)
    step("installer", [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV], NO_INDEX)
    install = [folder / "bin" / "uv", "pip", "install", "--quiet", "--python", python, "--compile-bytecode"]
    step("requirements", [*install, "--requirement", REQUIREMENTS], NO_INDEX)
    now = time.time()
    write(stamp, {"requirements": wanted, "python": sys.version, "made_at": now, "seconds": now - begun})


def step(what: str, command: list, advice: str) -> None:
    sys.stdout.write(f"  {what} ".ljust(44, "."))
    sys.stdout.flush()
    begun = time.time()
    words = [str(word) for word in command]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment())
    if done.returncode:
        sys.stdout.write(" failed\n")
        stop(f"{done.stdout.decode(errors='replace').strip()[-3000:]}\n{advice}")
    sys.stdout.write(f" {time.time() - begun:6.1f} s\n")


def environment() -> dict:
    """uv follows pip's index where only pip has been told one."""
    told = dict(os.environ)
    if "PIP_INDEX_URL" in told:
        told.setdefault("UV_DEFAULT_INDEX", told["PIP_INDEX_URL"])
    return told


def read(stamp: Path) -> dict:
    try:
        return json.loads(stamp.read_text())
    except (OSError, ValueError):
        return {}


def write(stamp: Path, facts: dict) -> None:
    half = stamp.with_suffix(".half")
    half.write_text(json.dumps(facts))
    half.replace(stamp)


def stop(message: str) -> None:
    sys.stderr.write(f"\n{message}\n")
    raise SystemExit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
