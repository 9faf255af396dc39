"""The database: tables, queries, ledger, inbox and outbox."""
