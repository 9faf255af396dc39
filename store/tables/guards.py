"""Triggers that keep the journal and the history of credit lines append-only, for everybody (invariant 1)."""

from __future__ import annotations

from sqlalchemy import DDL, MetaData, event

GUARDED = ("journal_entries", "journal_lines", "credit_events")

POSTGRES_FUNCTION = """\
CREATE OR REPLACE FUNCTION journal_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'the journal is append-only';
END
$body$"""


def statements(dialect: str, table: str) -> tuple[str, ...]:
    """The DDL that makes one table append-only. Used by the migration and by `metadata.create_all` alike."""
    if dialect == "sqlite":
        return tuple(
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            "BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"
            for verb in ("UPDATE", "DELETE")
        )
    row = (
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
        "FOR EACH ROW EXECUTE FUNCTION journal_is_append_only()"
    )
    whole = (
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION journal_is_append_only()"
    )
    return (POSTGRES_FUNCTION, row, whole)


def guard(metadata: MetaData) -> None:
    """Attach the triggers to the tables' creation. Called once, when store.tables is imported."""
    for name in GUARDED:
        for dialect in ("sqlite", "postgresql"):
            for statement in statements(dialect, name):
                ddl = DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
                event.listen(metadata.tables[name], "after_create", ddl.execute_if(dialect=dialect))
