"""Every path of the domain: disputes, corrections, notices, holds, shortfalls, reconciliation, credit histories."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


FUNCTION = """CREATE OR REPLACE FUNCTION journal_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'the journal is append-only';
END
$body$"""
SQLITE = """\
CREATE TRIGGER credit_events_no_{name} BEFORE {verb} ON credit_events \
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"""
POSTGRES = (
    FUNCTION,
    "CREATE TRIGGER credit_events_append_only BEFORE UPDATE OR DELETE ON credit_events "
    "FOR EACH ROW EXECUTE FUNCTION journal_is_append_only()",
    "CREATE TRIGGER credit_events_no_truncate BEFORE TRUNCATE ON credit_events "
    "FOR EACH STATEMENT EXECUTE FUNCTION journal_is_append_only()",
)


def upgrade() -> None:
    change_tables()
    fill_columns()
    guard_credit()


def fill_columns() -> None:
    """What new columns say of rows that are there already."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    address = "json_extract(request, '$.address_ref')" if sqlite else "request ->> 'address_ref'"
    op.execute(f"UPDATE cases SET address_ref = coalesce({address}, '')")  # noqa: S608 - nothing from outside
    op.execute("UPDATE settlement_batches SET open_minor = -net_minor, told_at = formed_at WHERE state = 'shortfall'")
    op.execute("UPDATE rulings SET told_at = at")


def guard_credit() -> None:
    """The history of credit lines is only ever added to, whoever has a connection."""
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(SQLITE.format(verb=verb, name=verb.lower()))
    else:
        for statement in POSTGRES:
            op.execute(statement)


def change_tables() -> None:
    op.create_table(
        "findings",
        sa.Column("finding_id", sa.String(), nullable=False),
        sa.Column("invariant", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("expected", sa.String(), nullable=False),
        sa.Column("found", sa.String(), nullable=False),
        sa.Column("minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("first_cut", sa.String(), nullable=False),
        sa.Column("last_cut", sa.String(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("explained_by", sa.String(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("finding_id", name=op.f("pk_findings")),
    )
    with op.batch_alter_table("findings") as batch:
        batch.create_index(batch.f("ix_findings_state"), ["state"], unique=False)

    op.create_table(
        "reconciliations",
        sa.Column("cut", sa.String(), nullable=False),
        sa.Column("workflow_id", sa.String(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("report", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("cut", name=op.f("pk_reconciliations")),
    )
    op.create_table(
        "settlement_holds",
        sa.Column("merchant_id", sa.String(), nullable=False),
        sa.Column("case_key", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("held_by", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("held_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_by", sa.String(), nullable=True),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", "case_key", "reason", name=op.f("pk_settlement_holds")),
    )
    with op.batch_alter_table("settlement_holds") as batch:
        batch.create_index(
            "ix_settlement_holds_open",
            ["merchant_id", "case_key"],
            unique=False,
            sqlite_where=sa.text("released_at IS NULL"),
            postgresql_where=sa.text("released_at IS NULL"),
        )

    op.create_table(
        "statement_cursors",
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("party", sa.String(), nullable=False),
        sa.Column("fetched", sa.BigInteger(), nullable=False),
        sa.Column("compared", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("provider", name=op.f("pk_statement_cursors")),
    )
    op.create_table(
        "statement_rows",
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("party", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("payee", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("provider", "seq", name=op.f("pk_statement_rows")),
    )
    with op.batch_alter_table("statement_rows") as batch:
        batch.create_index(batch.f("ix_statement_rows_key"), ["key"], unique=False)
        batch.create_index(batch.f("ix_statement_rows_party_kind_key"), ["party", "kind", "key"], unique=False)

    op.create_table(
        "sweep_cursors",
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("reader", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "reader", name=op.f("pk_sweep_cursors")),
    )
    op.create_table(
        "credit_events",
        sa.Column("consumer_ref", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("reservation_key", sa.String(), nullable=True),
        sa.Column("minor", sa.BigInteger(), nullable=False),
        sa.Column("used_minor", sa.BigInteger(), nullable=False),
        sa.Column("limit_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("frozen", sa.Boolean(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["consumer_ref"], ["consumers.consumer_ref"], name=op.f("fk_credit_events_consumer_ref")
        ),
        sa.PrimaryKeyConstraint("consumer_ref", "seq", name=op.f("pk_credit_events")),
    )
    with op.batch_alter_table("credit_events") as batch:
        batch.create_index(batch.f("ix_credit_events_reservation_key"), ["reservation_key"], unique=False)

    op.create_table(
        "appeals",
        sa.Column("appeal_id", sa.String(), nullable=False),
        sa.Column("ruling_id", sa.String(), nullable=False),
        sa.Column("case_key", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("given_by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("how", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["case_key"], ["cases.case_key"], name=op.f("fk_appeals_case_key")),
        sa.ForeignKeyConstraint(["ruling_id"], ["rulings.ruling_id"], name=op.f("fk_appeals_ruling_id")),
        sa.PrimaryKeyConstraint("appeal_id", name=op.f("pk_appeals")),
        sa.UniqueConstraint("ruling_id", name=op.f("uq_appeals_ruling_id")),
    )
    with op.batch_alter_table("appeals") as batch:
        batch.create_index(batch.f("ix_appeals_case_key"), ["case_key"], unique=False)

    op.create_table(
        "corrections",
        sa.Column("case_key", sa.String(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("event", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("workflow_id", sa.String(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["case_key"], ["cases.case_key"], name=op.f("fk_corrections_case_key")),
        sa.PrimaryKeyConstraint("case_key", "n", name=op.f("pk_corrections")),
        sa.UniqueConstraint("event_id", name=op.f("uq_corrections_event_id")),
    )
    with op.batch_alter_table("corrections") as batch:
        batch.create_index(batch.f("ix_corrections_state"), ["state"], unique=False)

    op.create_table(
        "evidence",
        sa.Column("evidence_id", sa.String(), nullable=False),
        sa.Column("case_key", sa.String(), nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=True),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("given_by", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=True),
        sa.Column("line_id", sa.String(), nullable=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["case_key"], ["cases.case_key"], name=op.f("fk_evidence_case_key")),
        sa.PrimaryKeyConstraint("evidence_id", name=op.f("pk_evidence")),
    )
    with op.batch_alter_table("evidence") as batch:
        batch.create_index(batch.f("ix_evidence_case_key"), ["case_key"], unique=False)

    op.create_table(
        "unclaimed_money",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("case_key", sa.String(), nullable=False),
        sa.Column("consumer_ref", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("correction", sa.Integer(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["case_key"], ["cases.case_key"], name=op.f("fk_unclaimed_money_case_key")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_unclaimed_money")),
    )
    with op.batch_alter_table("unclaimed_money") as batch:
        batch.create_index(batch.f("ix_unclaimed_money_case_key"), ["case_key"], unique=False)
        batch.create_index(batch.f("ix_unclaimed_money_consumer_ref"), ["consumer_ref"], unique=False)
        batch.create_index(batch.f("ix_unclaimed_money_state"), ["state"], unique=False)

    with op.batch_alter_table("approvals") as batch:
        batch.alter_column("approved_by", existing_type=sa.VARCHAR(), nullable=True)

    with op.batch_alter_table("cases") as batch:
        batch.add_column(sa.Column("address_ref", sa.String(), nullable=False, server_default=""))
        batch.add_column(sa.Column("reopens", sa.String(), nullable=True))
        batch.create_index(batch.f("ix_cases_address_ref"), ["address_ref"], unique=False)
        batch.create_index(batch.f("ix_cases_reopens"), ["reopens"], unique=False)

    with op.batch_alter_table("claims") as batch:
        batch.add_column(sa.Column("reserve_change_minor", sa.BigInteger(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("overturned_minor", sa.BigInteger(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("funding_key", sa.String(), nullable=True))
        batch.add_column(sa.Column("funding_minor", sa.BigInteger(), nullable=True))
        batch.add_column(sa.Column("appeal_of", sa.String(), nullable=True))
        batch.add_column(sa.Column("second_person", sa.Boolean(), nullable=False, server_default=sa.false()))

    with op.batch_alter_table("consumers") as batch:
        batch.add_column(sa.Column("frozen_by", sa.String(), nullable=True))
        batch.add_column(sa.Column("credit_seq", sa.Integer(), nullable=False, server_default="0"))

    with op.batch_alter_table("coverages") as batch:
        batch.add_column(sa.Column("earned_at", sa.DateTime(timezone=True), nullable=True))
        batch.create_index(
            "ix_coverages_unearned",
            ["book_version"],
            unique=False,
            sqlite_where=sa.text("earned_at IS NULL"),
            postgresql_where=sa.text("earned_at IS NULL"),
        )

    with op.batch_alter_table("cuts") as batch:
        batch.add_column(sa.Column("merchants", sa.Integer(), nullable=False, server_default="0"))

    with op.batch_alter_table("inspections") as batch:
        batch.add_column(sa.Column("swaps", sa.Integer(), nullable=False, server_default="0"))

    with op.batch_alter_table("merchants") as batch:
        batch.add_column(sa.Column("offers", sa.Boolean(), nullable=False, server_default=sa.false()))

    with op.batch_alter_table("orders") as batch:
        batch.add_column(sa.Column("shipped_at", sa.DateTime(timezone=True), nullable=True))

    with op.batch_alter_table("pickups") as batch:
        batch.add_column(sa.Column("packaging", sa.Boolean(), nullable=False, server_default=sa.false()))

    with op.batch_alter_table("recoveries") as batch:
        batch.add_column(sa.Column("in_hand_minor", sa.BigInteger(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("demanded_minor", sa.BigInteger(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("cash_minor", sa.BigInteger(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("written_off_minor", sa.BigInteger(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("withdrawn", sa.Boolean(), nullable=False, server_default=sa.false()))
        batch.add_column(sa.Column("recovery_ref", sa.String(), nullable=True))
        batch.add_column(sa.Column("n", sa.Integer(), nullable=False, server_default="1"))
    op.execute("UPDATE recoveries SET recovery_ref = claim_ref")
    with op.batch_alter_table("recoveries") as batch:
        batch.alter_column("recovery_ref", nullable=False)
        batch.drop_constraint(batch.f("pk_recoveries"), type_="primary")
        batch.create_primary_key(batch.f("pk_recoveries"), ["recovery_ref"])
        batch.create_index(batch.f("ix_recoveries_claim_ref"), ["claim_ref"], unique=False)

    with op.batch_alter_table("rulings") as batch:
        batch.add_column(sa.Column("shares", sa.JSON(), nullable=True))
        batch.add_column(sa.Column("overrules", sa.String(), nullable=True))
        batch.add_column(sa.Column("facts_hash", sa.String(), nullable=True))
        batch.add_column(sa.Column("book_version", sa.String(), nullable=True))
        batch.add_column(sa.Column("book_hash", sa.String(), nullable=True))
        batch.add_column(sa.Column("told_at", sa.DateTime(timezone=True), nullable=True))

    with op.batch_alter_table("settlement_batches") as batch:
        batch.add_column(sa.Column("open_minor", sa.BigInteger(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("told_at", sa.DateTime(timezone=True), nullable=True))
        batch.add_column(sa.Column("overdue_cut", sa.String(), nullable=True))
        batch.drop_index(batch.f("ix_settlement_batches_cut"))
        batch.create_index("ix_settlement_batches_cut", ["cut", "state", "merchant_id"], unique=False)
        batch.create_index(
            "ix_settlement_batches_owed",
            ["merchant_id"],
            unique=False,
            sqlite_where=sa.text("open_minor > 0"),
            postgresql_where=sa.text("open_minor > 0"),
        )
        batch.create_foreign_key(batch.f("fk_settlement_batches_overdue_cut"), "cuts", ["overdue_cut"], ["cut"])

    with op.batch_alter_table("settlement_legs") as batch:
        batch.drop_index(batch.f("ix_settlement_legs_batch"))
        batch.drop_column("held")

    with op.batch_alter_table("cases") as batch:
        batch.alter_column("address_ref", server_default=None)
    with op.batch_alter_table("claims") as batch:
        batch.alter_column("reserve_change_minor", server_default=None)
        batch.alter_column("overturned_minor", server_default=None)
        batch.alter_column("second_person", server_default=None)
    with op.batch_alter_table("consumers") as batch:
        batch.alter_column("credit_seq", server_default=None)
    with op.batch_alter_table("cuts") as batch:
        batch.alter_column("merchants", server_default=None)
    with op.batch_alter_table("inspections") as batch:
        batch.alter_column("swaps", server_default=None)
    with op.batch_alter_table("merchants") as batch:
        batch.alter_column("offers", server_default=None)
    with op.batch_alter_table("pickups") as batch:
        batch.alter_column("packaging", server_default=None)
    with op.batch_alter_table("recoveries") as batch:
        batch.alter_column("in_hand_minor", server_default=None)
        batch.alter_column("demanded_minor", server_default=None)
        batch.alter_column("cash_minor", server_default=None)
        batch.alter_column("written_off_minor", server_default=None)
        batch.alter_column("withdrawn", server_default=None)
        batch.alter_column("n", server_default=None)
    with op.batch_alter_table("settlement_batches") as batch:
        batch.alter_column("open_minor", server_default=None)
