"""Statements of banks, their lines, and which entries of the books these go with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from ledgerctl.db.schema import CLOCK, EXACT_TEXT

revision = "0006"
down_revision = "0005"

_RULES = "'reference', 'mention', 'reference-sum', 'date', 'text', 'fee', 'sum', 'reversed', 'by-hand'"


def upgrade() -> None:
    op.add_column("reconciliations", sa.Column("account_id", sa.BigInteger))
    op.add_column("reconciliations", sa.Column("detail", postgresql.JSONB))
    op.drop_constraint("reconciliations_mode", "reconciliations")
    op.create_check_constraint(
        "reconciliations_mode", "reconciliations", "mode IN ('full', 'incremental', 'statement')"
    )
    op.create_check_constraint(
        "reconciliations_of_account", "reconciliations", "(mode = 'statement') = (account_id IS NOT NULL)"
    )
    op.create_index(
        "reconciliations_account",
        "reconciliations",
        ["ledger_id", "account_id", "id"],
        postgresql_where=sa.text("account_id IS NOT NULL"),
    )
    _statements()
    _matches()


def _statements() -> None:
    op.create_table(
        "bank_accounts",
        sa.Column("ledger_id", sa.Integer, nullable=False),
        sa.Column("account_id", sa.BigInteger, nullable=False),
        sa.Column("bank_account", sa.Text, nullable=False),
        sa.Column("covered_seq", sa.BigInteger, nullable=False),
        sa.Column("covered_on", sa.Date, nullable=False),
        sa.Column("covered_on_seq", sa.BigInteger, nullable=False),
        sa.Column("begins_on", sa.Date, nullable=False),
        sa.PrimaryKeyConstraint("ledger_id", "account_id", name="bank_accounts_pkey"),
        sa.ForeignKeyConstraint(
            ["ledger_id", "account_id"], ["accounts.ledger_id", "accounts.id"], name="bank_accounts_account"
        ),
    )
    op.create_table(
        "bank_statements",
        sa.Column("ledger_id", sa.Integer, nullable=False),
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("account_id", sa.BigInteger, nullable=False),
        sa.Column("identifier", sa.Text, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("opening", sa.Numeric),
        sa.Column("opening_on", sa.Date),
        sa.Column("closing", sa.Numeric),
        sa.Column("closing_on", sa.Date),
        sa.Column("tells_until", sa.Date, nullable=False),
        sa.Column("lines", sa.Integer, nullable=False),
        sa.Column("accepted", sa.Text),
        sa.Column("reconciliation_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("ledger_id", "id", name="bank_statements_pkey"),
        sa.ForeignKeyConstraint(
            ["ledger_id", "account_id"],
            ["bank_accounts.ledger_id", "bank_accounts.account_id"],
            name="bank_statements_account",
        ),
        sa.UniqueConstraint("ledger_id", "account_id", "sha256", name="bank_statements_once"),
    )
    op.create_table(
        "bank_lines",
        sa.Column("ledger_id", sa.Integer, nullable=False),
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("account_id", sa.BigInteger, nullable=False),
        sa.Column("statement_id", sa.BigInteger, nullable=False),
        sa.Column("booked_on", sa.Date, nullable=False),
        sa.Column("valued_on", sa.Date),
        sa.Column("amount", sa.Numeric, nullable=False),
        sa.Column("fee", sa.Numeric, nullable=False),
        sa.Column("payment_references", postgresql.ARRAY(sa.Text), nullable=False),
        sa.Column("counterparty", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("ledger_id", "id", name="bank_lines_pkey"),
        sa.ForeignKeyConstraint(
            ["ledger_id", "statement_id"],
            ["bank_statements.ledger_id", "bank_statements.id"],
            name="bank_lines_statement",
        ),
        sa.CheckConstraint("abs(amount) < 1e30 AND abs(fee) < 1e30", name="bank_lines_finite"),
    )
    op.create_index("bank_lines_account", "bank_lines", ["ledger_id", "account_id", "booked_on"])


def _matches() -> None:
    op.create_table(
        "bank_matches",
        sa.Column("ledger_id", sa.Integer, nullable=False),
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("account_id", sa.BigInteger, nullable=False),
        sa.Column("rule", EXACT_TEXT, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reconciliation_id", sa.BigInteger),
        sa.Column("matched_at", sa.DateTime(timezone=True), nullable=False, server_default=CLOCK),
        sa.Column("undone_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("ledger_id", "id", name="bank_matches_pkey"),
        sa.ForeignKeyConstraint(
            ["ledger_id", "account_id"],
            ["bank_accounts.ledger_id", "bank_accounts.account_id"],
            name="bank_matches_account",
        ),
        sa.CheckConstraint(f"rule IN ({_RULES})", name="bank_matches_rule"),
    )
    op.create_index("bank_matches_run", "bank_matches", ["ledger_id", "reconciliation_id"])
    op.create_table(
        "bank_match_lines",
        sa.Column("ledger_id", sa.Integer, nullable=False),
        sa.Column("match_id", sa.BigInteger, nullable=False),
        sa.Column("line_id", sa.BigInteger, nullable=False),
        sa.Column("undone", sa.Boolean, nullable=False, server_default="false"),
        sa.PrimaryKeyConstraint("ledger_id", "match_id", "line_id", name="bank_match_lines_pkey"),
        sa.ForeignKeyConstraint(
            ["ledger_id", "match_id"], ["bank_matches.ledger_id", "bank_matches.id"], name="bank_match_lines_match"
        ),
        sa.ForeignKeyConstraint(
            ["ledger_id", "line_id"], ["bank_lines.ledger_id", "bank_lines.id"], name="bank_match_lines_line"
        ),
    )
    op.create_index(
        "bank_match_lines_once",
        "bank_match_lines",
        ["ledger_id", "line_id"],
        unique=True,
        postgresql_where=sa.text("NOT undone"),
    )
    op.create_table(
        "bank_match_entries",
        sa.Column("ledger_id", sa.Integer, nullable=False),
        sa.Column("match_id", sa.BigInteger, nullable=False),
        sa.Column("account_id", sa.BigInteger, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("undone", sa.Boolean, nullable=False, server_default="false"),
        sa.PrimaryKeyConstraint("ledger_id", "match_id", "seq", name="bank_match_entries_pkey"),
        sa.ForeignKeyConstraint(
            ["ledger_id", "match_id"], ["bank_matches.ledger_id", "bank_matches.id"], name="bank_match_entries_match"
        ),
    )
    op.create_index(
        "bank_match_entries_once",
        "bank_match_entries",
        ["ledger_id", "account_id", "seq"],
        unique=True,
        postgresql_where=sa.text("NOT undone"),
    )
