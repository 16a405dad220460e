#!/bin/sh
# Run a command with secrets in its environment: with_secrets.sh VARIABLE=secret … -- command …
#   SECRETS (folder of the secret files)
set -eu
while [ "$1" != "--" ]; do
  value=$(cat "$SECRETS/${1#*=}")
  export "${1%%=*}=$value"
  shift
done
shift
exec "$@"
