#!/bin/sh
# Temporal's own schema, set up or brought up to date. Safe to run again.
#
# `setup-schema` writes version 0.0 whatever was there, so it runs only where the version table is missing: any other failure
# of an update (a database out of reach, say) is a failure.
set -eu
: "${POSTGRES_SEEDS:?}" "${POSTGRES_USER:?}" "${SQL_PASSWORD:?}"

for pair in temporal:temporal temporal_visibility:visibility; do
    database=${pair%%:*}
    folder=/etc/temporal/schema/postgresql/v12/${pair##*:}/versioned
    tool() {
        temporal-sql-tool --plugin postgres12 --ep "$POSTGRES_SEEDS" -p "${DB_PORT:-5432}" -u "$POSTGRES_USER" \
            --db "$database" "$@"
    }
    if said=$(tool update-schema -d "$folder" 2>&1); then
        echo "$said"
        continue
    fi
    case $said in
    *schema_version*"does not exist"*)
        tool setup-schema -v 0.0
        tool update-schema -d "$folder"
        ;;
    *)
        echo "$said" >&2
        exit 1
        ;;
    esac
done
