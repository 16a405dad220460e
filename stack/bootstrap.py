"""Make the Python environment: a virtual environment, uv into it, then every pinned requirement.

Run by `make` with whatever `python3` there is, so it uses the standard library alone and old syntax. A second run
does nothing: the environment remembers the requirements that it was made from.
"""

import hashlib
import json
import os
import subprocess
import sys
import time

OLDEST, NEWEST = (3, 11), (3, 13)
UV = "uv==0.13.9"
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REQUIREMENTS = os.path.join(ROOT, "requirements.txt")


def main(folder):
    stamp = os.path.join(folder, ".hnai.json")
    wanted = _wanted()
    if _read(stamp).get("requirements") == wanted:
        return
    if sys.version_info[:2] < OLDEST:
        _stop(
            "This Python is %s (%s); 3.11 or later is needed. Install one, or name it: make PYTHON=/path/to/python3.11"
            % (sys.version.split()[0], sys.executable)
        )
    if sys.version_info[:2] > NEWEST:
        print("  note: tried with Python 3.11 to 3.13; this is %s" % sys.version.split()[0])
    begun = time.time()
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(stamp) and os.path.isdir(folder) and os.listdir(folder):
        _stop("%s exists and was not made by this `make`, so it is left alone. Name another: make VENV=folder" % folder)
    if _read(stamp).get("python") != sys.version or not os.path.exists(python):
        if not os.path.isdir(folder):
            os.makedirs(folder)
        _write(stamp, {})  # from here on the folder is ours: one that is half made is made again
        _step("virtual environment", [sys.executable, "-m", "venv", folder], _NO_VENV)
    _step("installer", [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV], _NO_INDEX)
    uv = os.path.join(folder, "bin", "uv")
    install = [uv, "pip", "install", "--quiet", "--python", python, "--requirement", REQUIREMENTS]
    _step("requirements", install + ["--compile-bytecode"], _NO_INDEX)
    now = time.time()
    _write(stamp, {"requirements": wanted, "python": sys.version, "made_at": now, "seconds": now - begun})


_NO_VENV = "Python's venv module does not work. On Debian or Ubuntu: apt install python3-venv"
_NO_INDEX = "Packages cannot be installed. Is the network or the package index (PIP_INDEX_URL, UV_INDEX_URL) reachable?"


def _step(what, command, advice):
    sys.stdout.write(("  %s " % what).ljust(44, "."))
    sys.stdout.flush()
    begun = time.time()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=_environment())
    if done.returncode:
        sys.stdout.write(" failed\n")
        _stop("%s\n%s" % (done.stdout.decode(errors="replace").strip()[-3000:], advice))
    sys.stdout.write(" %6.1f s\n" % (time.time() - begun))


def _environment():
    """uv follows pip's index where only pip has been told one."""
    environment = dict(os.environ)
    if "PIP_INDEX_URL" in environment:
        environment.setdefault("UV_DEFAULT_INDEX", environment["PIP_INDEX_URL"])
    return environment


def _wanted():
    with open(REQUIREMENTS, "rb") as file:
        return hashlib.sha256(file.read() + UV.encode()).hexdigest()


def _read(stamp):
    try:
        with open(stamp) as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def _write(stamp, facts):
    with open(stamp + ".half", "w") as file:
        json.dump(facts, file)
    os.rename(stamp + ".half", stamp)


def _stop(message):
    sys.stderr.write("\n%s\n" % message)
    raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1])
