"""The books: ledgers, currencies, accounts, transactions with their entries, receipts, reconciliations, audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from ledgerctl.db.schema import XID8

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "audit_logs",
        sa.Column("ledger_id", sa.Integer(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("xid8", XID8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(collation="C"), nullable=False),
        sa.Column("subject", sa.Text(collation="C"), nullable=False),
        sa.Column("outcome", sa.Text(collation="C"), nullable=False),
        sa.Column("request_id", sa.Text(collation="C"), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("ledger_id", "id", name="audit_logs_pkey"),
    )
    op.create_index("audit_logs_subject", "audit_logs", ["ledger_id", "subject"], unique=False)
    op.create_table(
        "ledgers",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("name ~ '^[A-Za-z0-9:_.-]{1,128}$'", name="ledgers_name_form"),
        sa.PrimaryKeyConstraint("id", name="ledgers_pkey"),
        sa.UniqueConstraint("name", name="ledgers_name"),
    )
    op.create_table(
        "currencies",
        sa.Column("ledger_id", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(collation="C"), nullable=False),
        sa.Column("exponent", sa.SmallInteger(), nullable=False),
        sa.CheckConstraint("code ~ '^[A-Z][A-Z0-9]{2,11}$'", name="currencies_code_form"),
        sa.CheckConstraint("exponent BETWEEN 0 AND 18", name="currencies_exponent_range"),
        sa.ForeignKeyConstraint(["ledger_id"], ["ledgers.id"], name="currencies_ledger"),
        sa.PrimaryKeyConstraint("ledger_id", "code", name="currencies_pkey"),
        sa.UniqueConstraint("ledger_id", "code", "exponent", name="currencies_exponent"),
    )
    op.create_table(
        "imports",
        sa.Column("ledger_id", sa.Integer(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("rows", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("posted", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("replayed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("rejected", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("totals", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("status", sa.Text(collation="C"), nullable=False),
        sa.Column("rejects_file", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status IN ('running', 'complete', 'partial', 'refused')", name="imports_status"),
        sa.ForeignKeyConstraint(["ledger_id"], ["ledgers.id"], name="imports_ledger"),
        sa.PrimaryKeyConstraint("ledger_id", "id", name="imports_pkey"),
    )
    op.create_index("imports_sha256", "imports", ["ledger_id", "sha256"], unique=False)
    op.create_table(
        "reconciliations",
        sa.Column("ledger_id", sa.Integer(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("status", sa.Text(collation="C"), nullable=False),
        sa.Column("checked", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("findings", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "finished_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("status IN ('clean', 'differences')", name="reconciliations_status"),
        sa.ForeignKeyConstraint(["ledger_id"], ["ledgers.id"], name="reconciliations_ledger"),
        sa.PrimaryKeyConstraint("ledger_id", "id", name="reconciliations_pkey"),
    )
    op.create_table(
        "accounts",
        sa.Column("ledger_id", sa.Integer(), nullable=False),
        sa.Column("exponent", sa.SmallInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_posted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("code", sa.Text(collation="C"), nullable=False),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column("type", sa.Text(collation="C"), nullable=False),
        sa.Column("status", sa.Text(collation="C"), server_default="active", nullable=False),
        sa.Column("balance", sa.Numeric(), server_default="0", nullable=False),
        sa.Column("min_balance", sa.Numeric(), nullable=True),
        sa.Column("max_balance", sa.Numeric(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.CheckConstraint(
            "(CASE WHEN type IN ('asset', 'expense') THEN -balance ELSE balance END) <= max_balance",
            name="accounts_max_balance",
        ),
        sa.CheckConstraint(
            "(CASE WHEN type IN ('asset', 'expense') THEN -balance ELSE balance END) >= min_balance",
            name="accounts_min_balance",
        ),
        sa.CheckConstraint("code ~ '^[A-Za-z0-9:_.-]{1,128}$'", name="accounts_code_form"),
        sa.CheckConstraint("status <> 'closed' OR balance = 0", name="accounts_closed_at_zero"),
        sa.CheckConstraint("status IN ('active', 'frozen', 'closed')", name="accounts_status"),
        sa.CheckConstraint("type IN ('asset', 'liability', 'equity', 'income', 'expense')", name="accounts_type"),
        sa.CheckConstraint("abs(balance) < 1e30", name="accounts_balance_finite"),
        sa.CheckConstraint("abs(min_balance) < 1e30 AND abs(max_balance) < 1e30", name="accounts_limits_finite"),
        sa.CheckConstraint("seq >= 0", name="accounts_seq"),
        sa.ForeignKeyConstraint(
            ["ledger_id", "currency", "exponent"],
            ["currencies.ledger_id", "currencies.code", "currencies.exponent"],
            name="accounts_currency",
        ),
        sa.PrimaryKeyConstraint("ledger_id", "id", name="accounts_pkey"),
        sa.UniqueConstraint("ledger_id", "code", name="accounts_code"),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "transactions",
        sa.Column("ledger_id", sa.Integer(), nullable=False),
        sa.Column("import_row", sa.Integer(), nullable=True),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("xid8", XID8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("import_id", sa.BigInteger(), nullable=True),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reverses", sa.UUID(), nullable=True),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(collation="C"), nullable=False),
        sa.Column("idempotency_key", sa.Text(collation="C"), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.CheckConstraint("(kind = 'reversal') = (reverses IS NOT NULL)", name="transactions_reversal_link"),
        sa.CheckConstraint("idempotency_key <> ''", name="transactions_key_given"),
        sa.CheckConstraint("kind IN ('transfer', 'journal', 'reversal')", name="transactions_kind"),
        sa.CheckConstraint("octet_length(fingerprint) = 32", name="transactions_fingerprint"),
        sa.ForeignKeyConstraint(
            ["ledger_id", "import_id"], ["imports.ledger_id", "imports.id"], name="transactions_import_receipt"
        ),
        sa.ForeignKeyConstraint(
            ["ledger_id", "reverses"], ["transactions.ledger_id", "transactions.id"], name="transactions_reverses"
        ),
        sa.PrimaryKeyConstraint("ledger_id", "id", name="transactions_pkey"),
        sa.UniqueConstraint("ledger_id", "idempotency_key", name="transactions_idempotency_key"),
    )
    op.create_index(
        "transactions_import",
        "transactions",
        ["ledger_id", "import_id"],
        unique=False,
        postgresql_where=sa.text("import_id IS NOT NULL"),
    )
    op.create_index(
        "transactions_reversed_once",
        "transactions",
        ["ledger_id", "reverses"],
        unique=True,
        postgresql_where=sa.text("reverses IS NOT NULL"),
    )
    op.create_table(
        "reconciliation_checkpoints",
        sa.Column("ledger_id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("balance", sa.Numeric(), nullable=False),
        sa.Column(
            "verified_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["ledger_id", "account_id"],
            ["accounts.ledger_id", "accounts.id"],
            name="reconciliation_checkpoints_account",
        ),
        sa.PrimaryKeyConstraint("ledger_id", "account_id", name="reconciliation_checkpoints_pkey"),
    )
    op.create_table(
        "transaction_entries",
        sa.Column("ledger_id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("transaction_id", sa.UUID(), nullable=False),
        sa.Column("amount", sa.Numeric(), nullable=False),
        sa.Column("balance_after", sa.Numeric(), nullable=False),
        sa.CheckConstraint("abs(balance_after) < 1e30", name="transaction_entries_balance"),
        sa.CheckConstraint("amount <> 0 AND abs(amount) < 1e30", name="transaction_entries_amount"),
        sa.CheckConstraint("seq > 0", name="transaction_entries_seq"),
        sa.ForeignKeyConstraint(
            ["ledger_id", "account_id"], ["accounts.ledger_id", "accounts.id"], name="transaction_entries_account"
        ),
        sa.ForeignKeyConstraint(
            ["ledger_id", "transaction_id"],
            ["transactions.ledger_id", "transactions.id"],
            name="transaction_entries_parent",
        ),
        sa.PrimaryKeyConstraint("ledger_id", "account_id", "seq", name="transaction_entries_pkey"),
    )
    op.create_index(
        "transaction_entries_transaction", "transaction_entries", ["ledger_id", "transaction_id"], unique=False
    )
