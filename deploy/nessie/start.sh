#!/bin/sh
# Become Nessie.
#   JAVA_HOME (21 or later), NESSIE_JAR, NESSIE_DATA, NESSIE_MEMORY (512m)
#   NESSIE_BIND (address to listen at), NESSIE_PORT, NESSIE_MANAGEMENT_PORT
#   WAREHOUSE, S3_URI, S3_REGION, S3_ACCESS_KEY, S3_SECRET_KEY
set -eu
exec "$JAVA_HOME/bin/java" "-Xmx$NESSIE_MEMORY" -XX:+ExitOnOutOfMemoryError \
  "-Dquarkus.config.locations=$(dirname "$0")/application.properties" \
  "-Dnessie.catalog.default-warehouse=$WAREHOUSE" \
  "-Dnessie.catalog.warehouses.$WAREHOUSE.location=s3://nessie/$WAREHOUSE" -jar "$NESSIE_JAR"
