#!/bin/sh
# Become Trino.
#   TRINO_HOME (the server), JAVA_HOME (24 or later), TRINO_DATA, TRINO_MEMORY (3G)
#   TRINO_BIND (address to listen at), TRINO_HOST (its own address as others see it), TRINO_PORT
#   TRINO_CATALOGS (folder of catalogs, by how the Iceberg catalog lets clients in: `oauth2`, `token` or `open`)
#   CATALOG_URI, WAREHOUSE; for `oauth2` CATALOG_TOKEN_URI, CATALOG_SCOPE and, unless it is the two S3 keys,
#   CATALOG_CREDENTIAL (id:secret); for `token` CATALOG_TOKEN
#   S3_URI, S3_REGION, S3_ACCESS_KEY, S3_SECRET_KEY
set -eu
export CATALOG_CREDENTIAL="${CATALOG_CREDENTIAL:-$S3_ACCESS_KEY:$S3_SECRET_KEY}"
PATH="$JAVA_HOME/bin:$PATH" exec "$TRINO_HOME/bin/launcher" -etc-dir "$(dirname "$0")/etc" -data-dir "$TRINO_DATA" \
  -jvm-dir "$JAVA_HOME" -J "-Xmx$TRINO_MEMORY" run
