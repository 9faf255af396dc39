#!/bin/sh
# Runs once, on an empty data folder: one role and one set of databases for Temporal, another for Backhaul.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set temporal_password="$TEMPORAL_DB_PASSWORD" --set backhaul_password="$BACKHAUL_DB_PASSWORD" <<'SQL'
CREATE ROLE temporal LOGIN PASSWORD :'temporal_password';
CREATE ROLE backhaul LOGIN PASSWORD :'backhaul_password';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
CREATE DATABASE backhaul OWNER backhaul;
SQL
