#!/bin/sh
# Format the data folder once, then become the broker.
#   JAVA_HOME, KAFKA_JARS (folder of jars), KAFKA_DATA, KAFKA_MEMORY (512m)
#   KAFKA_BIND (address to listen at), KAFKA_HOST (address that clients are told), KAFKA_PORT, KAFKA_CONTROLLER_PORT
set -eu
here=$(dirname "$0")
java="$JAVA_HOME/bin/java -Dlog4j2.configurationFile=$here/log4j2.properties"
if [ ! -f "$KAFKA_DATA/meta.properties" ]; then
  id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c -22)
  $java -cp "$KAFKA_JARS/*" kafka.tools.StorageTool format --ignore-formatted --cluster-id "$id" --config "$here/server.properties"
fi
exec $java "-Xmx$KAFKA_MEMORY" -XX:+ExitOnOutOfMemoryError -cp "$KAFKA_JARS/*" kafka.Kafka "$here/server.properties"
