#!/bin/sh
# Become a Connect worker.
#   JAVA_HOME (17 to 23), KAFKA_JARS (folder of jars), KAFKA_BROKERS, CONNECT_MEMORY (1g)
#   CONNECT_BIND (address to listen at), CONNECT_HOST (address that other workers are told), CONNECT_PORT
#   CONNECT_PLUGINS (folders whose subfolders are plugins, with commas between)
#   CONNECT_SECRETS (the one folder that ${dir:…} in a connector may read), CONNECT_RUN (a folder to write into)
set -eu
here=$(dirname "$0")
{
  cat "$here/worker.properties"
  echo "bootstrap.servers=$KAFKA_BROKERS"
  echo "plugin.path=$CONNECT_PLUGINS"
  echo "config.providers.dir.param.allowed.paths=$CONNECT_SECRETS"
} > "$CONNECT_RUN/worker.properties"
exec "$JAVA_HOME/bin/java" "-Xmx$CONNECT_MEMORY" -XX:+ExitOnOutOfMemoryError \
  "-Dlog4j2.configurationFile=$here/log4j2.properties" -cp "$KAFKA_JARS/*" \
  org.apache.kafka.connect.cli.ConnectDistributed "$CONNECT_RUN/worker.properties"
