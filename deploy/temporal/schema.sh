#!/bin/sh
# Temporal's own schema, set up or brought up to date. Safe to run again: the version table says what is there.
set -eu
: "${POSTGRES_SEEDS:?}" "${POSTGRES_USER:?}" "${SQL_PASSWORD:?}"

for pair in temporal:temporal temporal_visibility:visibility; do
    database=${pair%%:*}
    folder=/etc/temporal/schema/postgresql/v12/${pair##*:}/versioned
    tool() {
        temporal-sql-tool --plugin postgres12 --ep "$POSTGRES_SEEDS" -p "${DB_PORT:-5432}" -u "$POSTGRES_USER" \
            --db "$database" "$@"
    }
    tool update-schema -d "$folder" || {
        tool setup-schema -v 0.0
        tool update-schema -d "$folder"
    }
done
