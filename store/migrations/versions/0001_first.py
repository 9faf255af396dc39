"""The first schema: orders, cases, pickups, effects, the journal and settlement."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FUNCTION = """CREATE OR REPLACE FUNCTION journal_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'the journal is append-only';
END
$body$"""
SQLITE = """\
CREATE TRIGGER {table}_no_{name} BEFORE {verb} ON {table} \
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"""
POSTGRES = (
    "CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
    "FOR EACH ROW EXECUTE FUNCTION journal_is_append_only()",
    "CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
    "FOR EACH STATEMENT EXECUTE FUNCTION journal_is_append_only()",
)


def upgrade() -> None:
    create_tables()
    guard_journal()


def guard_journal() -> None:
    """Entries and their lines are only ever added, whoever has a connection."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    if not sqlite:
        op.execute(FUNCTION)
    for table in ("journal_entries", "journal_lines"):
        if sqlite:
            for verb in ("UPDATE", "DELETE"):
                op.execute(SQLITE.format(table=table, verb=verb, name=verb.lower()))
        else:
            for statement in POSTGRES:
                op.execute(statement.format(table=table))


def create_tables() -> None:
    op.create_table(
        "approvals",
        sa.Column("approval_id", sa.String(), nullable=False),
        sa.Column("case_key", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("payee", sa.String(), nullable=False),
        sa.Column("prepared_by", sa.String(), nullable=False),
        sa.Column("approved_by", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("binding", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_by", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("approval_id", name=op.f("pk_approvals")),
    )
    op.create_index(op.f("ix_approvals_case_key"), "approvals", ["case_key"], unique=False)
    op.create_table(
        "case_steps",
        sa.Column("case_key", sa.String(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("argument_hash", sa.String(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("case_key", "step", name=op.f("pk_case_steps")),
    )
    op.create_table(
        "consumers",
        sa.Column("consumer_ref", sa.String(), nullable=False),
        sa.Column("tier", sa.Integer(), nullable=False),
        sa.Column("risk", sa.String(), nullable=False),
        sa.Column("frozen", sa.Boolean(), nullable=False),
        sa.Column("limit_minor", sa.BigInteger(), nullable=False),
        sa.Column("used_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("consumer_ref", name=op.f("pk_consumers")),
    )
    op.create_table(
        "cuts",
        sa.Column("cut", sa.String(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("cut", name=op.f("pk_cuts")),
    )
    op.create_table(
        "effects",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("case_key", sa.String(), nullable=True),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("payee", sa.String(), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("request_hash", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("provider_ref", sa.String(), nullable=True),
        sa.Column("code", sa.String(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("approval_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_effects")),
    )
    op.create_index(op.f("ix_effects_case_key"), "effects", ["case_key"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("body_hash", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_table(
        "inbox",
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("body_hash", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("case_keys", sa.JSON(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("sender", "event_id", name=op.f("pk_inbox")),
    )
    op.create_index(op.f("ix_inbox_state"), "inbox", ["state"], unique=False)
    op.create_table(
        "journal_entries",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_key", sa.String(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("template", sa.String(), nullable=False),
        sa.Column("merchant_id", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=True),
        sa.Column("consumer_ref", sa.String(), nullable=True),
        sa.Column("case_key", sa.String(), nullable=True),
        sa.Column("payment_key", sa.String(), nullable=True),
        sa.Column("claim_ref", sa.String(), nullable=True),
        sa.Column("waybill", sa.String(), nullable=True),
        sa.Column("batch", sa.String(), nullable=True),
        sa.Column("external_key", sa.String(), nullable=True),
        sa.Column("reverses", sa.String(), nullable=True),
        sa.Column("book_version", sa.String(), nullable=True),
        sa.Column("book_hash", sa.String(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_journal_entries")),
        sa.UniqueConstraint("entry_key", name=op.f("uq_journal_entries_entry_key")),
        sa.UniqueConstraint("reverses", name=op.f("uq_journal_entries_reverses")),
    )
    op.create_index(op.f("ix_journal_entries_batch"), "journal_entries", ["batch"], unique=False)
    op.create_index(op.f("ix_journal_entries_case_key"), "journal_entries", ["case_key"], unique=False)
    op.create_index(op.f("ix_journal_entries_claim_ref"), "journal_entries", ["claim_ref"], unique=False)
    op.create_index(
        op.f("ix_journal_entries_external_key"), "journal_entries", ["external_key"], unique=False
    )
    op.create_index(op.f("ix_journal_entries_merchant_id"), "journal_entries", ["merchant_id"], unique=False)
    op.create_index(op.f("ix_journal_entries_order_id"), "journal_entries", ["order_id"], unique=False)
    op.create_index(op.f("ix_journal_entries_payment_key"), "journal_entries", ["payment_key"], unique=False)
    op.create_index(op.f("ix_journal_entries_waybill"), "journal_entries", ["waybill"], unique=False)
    op.create_table(
        "journal_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal_head")),
    )
    op.create_table(
        "merchants",
        sa.Column("merchant_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("commission_bps", sa.Integer(), nullable=False),
        sa.Column("auto_authorize", sa.Boolean(), nullable=False),
        sa.Column("credit_tier", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", name=op.f("pk_merchants")),
    )
    op.create_table(
        "recoveries",
        sa.Column("claim_ref", sa.String(), nullable=False),
        sa.Column("case_key", sa.String(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("liable", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("accepted_minor", sa.BigInteger(), nullable=False),
        sa.Column("collected_minor", sa.BigInteger(), nullable=False),
        sa.Column("remitted_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("workflow_id", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("claim_ref", name=op.f("pk_recoveries")),
    )
    op.create_index(op.f("ix_recoveries_case_key"), "recoveries", ["case_key"], unique=False)
    op.create_table(
        "rulings",
        sa.Column("ruling_id", sa.String(), nullable=False),
        sa.Column("case_key", sa.String(), nullable=False),
        sa.Column("decides", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("ruled_by", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("ruling_id", name=op.f("pk_rulings")),
    )
    op.create_index(op.f("ix_rulings_case_key"), "rulings", ["case_key"], unique=False)
    op.create_table(
        "credit_holds",
        sa.Column("reservation_key", sa.String(), nullable=False),
        sa.Column("consumer_ref", sa.String(), nullable=False),
        sa.Column("granted_minor", sa.BigInteger(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["consumer_ref"], ["consumers.consumer_ref"], name=op.f("fk_credit_holds_consumer_ref")
        ),
        sa.PrimaryKeyConstraint("reservation_key", name=op.f("pk_credit_holds")),
    )
    op.create_index(op.f("ix_credit_holds_consumer_ref"), "credit_holds", ["consumer_ref"], unique=False)
    op.create_table(
        "journal_lines",
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("book", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("party", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["sequence"], ["journal_entries.sequence"], name=op.f("fk_journal_lines_sequence")
        ),
        sa.PrimaryKeyConstraint("sequence", "position", name=op.f("pk_journal_lines")),
    )
    op.create_index(op.f("ix_journal_lines_book_account"), "journal_lines", ["book", "account"], unique=False)
    op.create_index(op.f("ix_journal_lines_party"), "journal_lines", ["party"], unique=False)
    op.create_table(
        "orders",
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("merchant_id", sa.String(), nullable=False),
        sa.Column("consumer_ref", sa.String(), nullable=False),
        sa.Column("paid_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("captured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["consumer_ref"], ["consumers.consumer_ref"], name=op.f("fk_orders_consumer_ref")
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.merchant_id"], name=op.f("fk_orders_merchant_id")
        ),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_orders")),
    )
    op.create_index(op.f("ix_orders_consumer_ref"), "orders", ["consumer_ref"], unique=False)
    op.create_index(op.f("ix_orders_merchant_id"), "orders", ["merchant_id"], unique=False)
    op.create_table(
        "settlement_batches",
        sa.Column("batch", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("merchant_id", sa.String(), nullable=False),
        sa.Column("cut", sa.String(), nullable=True),
        sa.Column("payout_key", sa.String(), nullable=False),
        sa.Column("legs", sa.Integer(), nullable=False),
        sa.Column("net_minor", sa.BigInteger(), nullable=False),
        sa.Column("netted_minor", sa.BigInteger(), nullable=False),
        sa.Column("payout_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("formed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["cut"], ["cuts.cut"], name=op.f("fk_settlement_batches_cut")),
        sa.PrimaryKeyConstraint("batch", name=op.f("pk_settlement_batches")),
        sa.UniqueConstraint("payout_key", name=op.f("uq_settlement_batches_payout_key")),
    )
    op.create_index(op.f("ix_settlement_batches_cut"), "settlement_batches", ["cut"], unique=False)
    op.create_index(
        op.f("ix_settlement_batches_merchant_id"), "settlement_batches", ["merchant_id"], unique=False
    )
    op.create_table(
        "cases",
        sa.Column("case_key", sa.String(), nullable=False),
        sa.Column("merchant_id", sa.String(), nullable=False),
        sa.Column("rma_id", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("consumer_ref", sa.String(), nullable=False),
        sa.Column("workflow_id", sa.String(), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("request_hash", sa.String(), nullable=False),
        sa.Column("book_version", sa.String(), nullable=False),
        sa.Column("book_hash", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("waiting_on", sa.String(), nullable=True),
        sa.Column("attention", sa.String(), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("judgement", sa.JSON(), nullable=True),
        sa.Column("status", sa.JSON(), nullable=True),
        sa.Column("refundable_minor", sa.BigInteger(), nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), nullable=False),
        sa.Column("withheld_minor", sa.BigInteger(), nullable=False),
        sa.Column("indemnified_minor", sa.BigInteger(), nullable=False),
        sa.Column("freight_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["consumer_ref"], ["consumers.consumer_ref"], name=op.f("fk_cases_consumer_ref")
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.merchant_id"], name=op.f("fk_cases_merchant_id")
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_cases_order_id")),
        sa.PrimaryKeyConstraint("case_key", name=op.f("pk_cases")),
    )
    op.create_index(op.f("ix_cases_attention"), "cases", ["attention"], unique=False)
    op.create_index(op.f("ix_cases_consumer_ref"), "cases", ["consumer_ref"], unique=False)
    op.create_index(op.f("ix_cases_merchant_id"), "cases", ["merchant_id"], unique=False)
    op.create_index(op.f("ix_cases_opened_at"), "cases", ["opened_at"], unique=False)
    op.create_index(op.f("ix_cases_order_id"), "cases", ["order_id"], unique=False)
    op.create_index(op.f("ix_cases_stage"), "cases", ["stage"], unique=False)
    op.create_table(
        "coverages",
        sa.Column("coverage_id", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("sum_insured_minor", sa.BigInteger(), nullable=False),
        sa.Column("remaining_minor", sa.BigInteger(), nullable=False),
        sa.Column("declared_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("upper_tier", sa.Boolean(), nullable=False),
        sa.Column("premium_merchant_minor", sa.BigInteger(), nullable=False),
        sa.Column("premium_platform_minor", sa.BigInteger(), nullable=False),
        sa.Column("bound_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("book_version", sa.String(), nullable=False),
        sa.Column("book_hash", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_coverages_order_id")),
        sa.PrimaryKeyConstraint("coverage_id", name=op.f("pk_coverages")),
    )
    op.create_index(op.f("ix_coverages_order_id"), "coverages", ["order_id"], unique=False)
    op.create_table(
        "order_lines",
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("line_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sku", sa.String(), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("paid_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("weight_g", sa.Integer(), nullable=False),
        sa.Column("volume_cm3", sa.Integer(), nullable=False),
        sa.Column("commission_bps", sa.Integer(), nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), nullable=False),
        sa.Column("commission_reversed_minor", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_order_lines_order_id")),
        sa.PrimaryKeyConstraint("order_id", "line_id", name=op.f("pk_order_lines")),
    )
    op.create_table(
        "payments",
        sa.Column("payment_id", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("captured_minor", sa.BigInteger(), nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_payments_order_id")),
        sa.PrimaryKeyConstraint("payment_id", name=op.f("pk_payments")),
    )
    op.create_index(op.f("ix_payments_order_id"), "payments", ["order_id"], unique=False)
    op.create_table(
        "pickups",
        sa.Column("pickup_id", sa.String(), nullable=False),
        sa.Column("share_key", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("address_ref", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("slot_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("slot_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("courier", sa.String(), nullable=False),
        sa.Column("booking_key", sa.String(), nullable=False),
        sa.Column("booking", sa.JSON(), nullable=False),
        sa.Column("booked_for", sa.String(), nullable=False),
        sa.Column("booking_id", sa.String(), nullable=True),
        sa.Column("waybill", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("scanned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("freight_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.CHAR(3), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_pickups_order_id")),
        sa.PrimaryKeyConstraint("pickup_id", name=op.f("pk_pickups")),
        sa.UniqueConstraint("booking_key", name=op.f("uq_pickups_booking_key")),
        sa.UniqueConstraint("share_key", "attempt", name=op.f("uq_pickups_share_key_attempt")),
    )
    op.create_index(op.f("ix_pickups_order_id"), "pickups", ["order_id"], unique=False)
    op.create_index(op.f("ix_pickups_waybill"), "pickups", ["waybill"], unique=False)
    op.create_table(
        "settlement_legs",
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("merchant_id", sa.String(), nullable=False),
        sa.Column("case_key", sa.String(), nullable=True),
        sa.Column("claim_ref", sa.String(), nullable=True),
        sa.Column("minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("batch", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["batch"], ["settlement_batches.batch"], name=op.f("fk_settlement_legs_batch")
        ),
        sa.ForeignKeyConstraint(
            ["sequence", "position"],
            ["journal_lines.sequence", "journal_lines.position"],
            name=op.f("fk_settlement_legs_sequence_position"),
        ),
        sa.PrimaryKeyConstraint("sequence", "position", name=op.f("pk_settlement_legs")),
    )
    op.create_index(op.f("ix_settlement_legs_batch"), "settlement_legs", ["batch"], unique=False)
    op.create_index(op.f("ix_settlement_legs_case_key"), "settlement_legs", ["case_key"], unique=False)
    op.create_index(
        "ix_settlement_legs_open",
        "settlement_legs",
        ["merchant_id", "sequence"],
        unique=False,
        sqlite_where=sa.text("batch IS NULL"),
        postgresql_where=sa.text("batch IS NULL"),
    )
    op.create_table(
        "case_lines",
        sa.Column("case_key", sa.String(), nullable=False),
        sa.Column("line_id", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["case_key"], ["cases.case_key"], name=op.f("fk_case_lines_case_key")),
        sa.PrimaryKeyConstraint("case_key", "line_id", name=op.f("pk_case_lines")),
    )
    op.create_index(op.f("ix_case_lines_order_id"), "case_lines", ["order_id"], unique=False)
    op.create_table(
        "claims",
        sa.Column("claim_ref", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("coverage_id", sa.String(), nullable=False),
        sa.Column("case_key", sa.String(), nullable=False),
        sa.Column("waybill", sa.String(), nullable=True),
        sa.Column("payee", sa.String(), nullable=False),
        sa.Column("reserved_minor", sa.BigInteger(), nullable=False),
        sa.Column("approved_minor", sa.BigInteger(), nullable=False),
        sa.Column("paid_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("claim_no", sa.String(), nullable=True),
        sa.Column("code", sa.String(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["coverage_id"], ["coverages.coverage_id"], name=op.f("fk_claims_coverage_id")
        ),
        sa.PrimaryKeyConstraint("claim_ref", name=op.f("pk_claims")),
    )
    op.create_index(op.f("ix_claims_case_key"), "claims", ["case_key"], unique=False)
    op.create_index(op.f("ix_claims_coverage_id"), "claims", ["coverage_id"], unique=False)
    op.create_table(
        "decisions",
        sa.Column("case_key", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("verdict", sa.JSON(), nullable=False),
        sa.Column("facts_hash", sa.String(), nullable=False),
        sa.Column("book_version", sa.String(), nullable=False),
        sa.Column("book_hash", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["case_key"], ["cases.case_key"], name=op.f("fk_decisions_case_key")),
        sa.PrimaryKeyConstraint("case_key", "seq", name=op.f("pk_decisions")),
    )
    op.create_table(
        "facts",
        sa.Column("case_key", sa.String(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["case_key"], ["cases.case_key"], name=op.f("fk_facts_case_key")),
        sa.PrimaryKeyConstraint("case_key", "step", name=op.f("pk_facts")),
    )
    op.create_table(
        "inspections",
        sa.Column("case_key", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("result", sa.String(), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["case_key"], ["cases.case_key"], name=op.f("fk_inspections_case_key")),
        sa.PrimaryKeyConstraint("case_key", "kind", name=op.f("pk_inspections")),
    )
    op.create_table(
        "pickup_members",
        sa.Column("pickup_id", sa.String(), nullable=False),
        sa.Column("case_key", sa.String(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("added", sa.Boolean(), nullable=False),
        sa.Column("items", sa.JSON(), nullable=False),
        sa.Column("chargeable_g", sa.Integer(), nullable=True),
        sa.Column("share_minor", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["pickup_id"], ["pickups.pickup_id"], name=op.f("fk_pickup_members_pickup_id")
        ),
        sa.PrimaryKeyConstraint("pickup_id", "case_key", name=op.f("pk_pickup_members")),
        sa.UniqueConstraint("case_key", "n", name=op.f("uq_pickup_members_case_key_n")),
    )
    op.create_index(op.f("ix_pickup_members_case_key"), "pickup_members", ["case_key"], unique=False)
    op.create_table(
        "waybills",
        sa.Column("waybill", sa.String(), nullable=False),
        sa.Column("courier", sa.String(), nullable=False),
        sa.Column("pickup_id", sa.String(), nullable=True),
        sa.Column("case_key", sa.String(), nullable=True),
        sa.Column("freight_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.CHAR(3), nullable=True),
        sa.Column("bound_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["pickup_id"], ["pickups.pickup_id"], name=op.f("fk_waybills_pickup_id")),
        sa.PrimaryKeyConstraint("waybill", name=op.f("pk_waybills")),
    )
    op.create_index(op.f("ix_waybills_case_key"), "waybills", ["case_key"], unique=False)
    op.create_index(op.f("ix_waybills_pickup_id"), "waybills", ["pickup_id"], unique=False)


def downgrade() -> None:
    raise NotImplementedError("schemas go forward only: the journal cannot be taken back")
