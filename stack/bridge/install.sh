#!/bin/sh
# Install a bridge in this folder: an environment of its own, a private state folder, and the broker's password.
#
#   ./install.sh mqtts://broker.example:8883 /path/to/broker-ca.pem < password-file
#
# Run again, it brings the environment to the pinned requirements and keeps everything else.
set -eu
cd "$(dirname "$0")"

if [ $# -lt 1 ]; then
    sed -n '2,6s/^# \{0,1\}//p' "$0"
    exit 2
fi
url=$1
ca=${2:-}
case "$url" in
    mqtts://*)
        [ -n "$ca" ] || { echo "The broker's certificate authority is needed: ./install.sh $url ca.pem" >&2; exit 2; }
        [ -f "$ca" ] || { echo "There is no file $ca: copy the broker's certificate authority there" >&2; exit 2; } ;;
    mqtt://127.0.0.1*|mqtt://localhost*) ;;
    mqtt://*) echo "A password never crosses a network in clear: use mqtts://, or mqtt:// on loopback" >&2; exit 2 ;;
    *) echo "$url is no broker address; it starts with mqtts://" >&2; exit 2 ;;
esac

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: PYTHON=python3.11 ./install.sh …" >&2; exit 1; }
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt

umask 077
mkdir -p .hnai/secrets
if [ ! -s .hnai/secrets/mqtt_bridge ]; then
    [ -t 0 ] && printf 'Password of the broker user "bridge": ' >&2
    IFS= read -r password || true
    [ -n "${password:-}" ] || { echo "No password was given on standard input" >&2; exit 1; }
    printf '%s\n' "$password" > .hnai/secrets/mqtt_bridge
fi
if [ -n "$ca" ]; then
    cp "$ca" .hnai/broker-ca.pem
fi
if [ ! -f .env ]; then
    {
        echo "HNAI_OT__BROKER_URL=$url"
        [ -z "$ca" ] || echo "HNAI_OT__BROKER_CA=$PWD/.hnai/broker-ca.pem"
    } > .env
fi
echo "Installed. Start a source:   .venv/bin/python -m include.ot.bridge NAME"
echo "Its sources:                 $(cd include/ot/sources && ls ./*.yaml | sed 's/.*\///; s/\.yaml//' | tr '\n' ' ')"
echo "As a service:                see hnai-bridge@.service"
