#!/bin/sh
# Become the broker of Airflow's workers.
#   VALKEY (the program), BROKER_BIND (address to listen at), BROKER_PORT, BROKER_PASSWORD
#   BROKER_RUN (a folder to write into)
set -eu
umask 077
{
  cat "$(dirname "$0")/valkey.conf"
  echo "bind $BROKER_BIND"
  echo "port $BROKER_PORT"
  echo "requirepass $BROKER_PASSWORD"
  echo "dir $BROKER_RUN"
} > "$BROKER_RUN/valkey.conf"
unset BROKER_PASSWORD
exec "$VALKEY" "$BROKER_RUN/valkey.conf"
