"""The tables, declared once. Functions, triggers and views are in `sql/` beside this file.

Every primary key and foreign key begins with `ledger_id`: on one machine it keeps books apart, on a sharded one it is
the distribution column. The other indexes of the tables that grow end with it, and serve only statements that ask for
their first column: that is what `IS NOT NULL` of a column that is never null is for (ADR 3).

Amounts are NUMERIC without a scale, since a scale would round; the triggers hold them to their currency's decimals.
`abs(x) < 1e30` also keeps NaN and the infinities out, which PostgreSQL orders above every number.
"""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID
from sqlalchemy.types import UserDefinedType

from ledgerctl.core.matching import Rule
from ledgerctl.core.model import AccountType, Kind, Status
from ledgerctl.db import constraints
from ledgerctl.db.epochs import STATES


class XID8(UserDefinedType[int]):
    """The transaction id that wrote a row: 64 bits, never reused."""

    cache_ok = True

    def get_col_spec(self, **_options: object) -> str:
        return "XID8"


metadata = MetaData()

EXACT_TEXT = Text(collation="C")  # codes and keys compare byte by byte; a collation upgrade cannot reorder them
CLOCK = text("clock_timestamp()")
WRITER = text("pg_current_xact_id()")
SERVER_START = text("pg_postmaster_start_time()")


def _one_of(column: str, values: type[StrEnum] | tuple[str, ...]) -> str:
    listed = ", ".join(f"'{value!s}'" for value in values)
    return f"{column} IN ({listed})"


def _key(name: str, column: str, *, unique: bool = False) -> Index:
    """Serves a statement only if that asks for the column."""
    return Index(name, column, "ledger_id", unique=unique, postgresql_where=text(f"{column} IS NOT NULL"))


ledgers = Table(
    "ledgers",
    metadata,
    Column("id", Integer, Identity(always=True)),
    Column("name", EXACT_TEXT, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=CLOCK),
    PrimaryKeyConstraint("id", name="ledgers_pkey"),
    UniqueConstraint("name", name=constraints.LEDGER_NAME),
    CheckConstraint("name ~ '^[A-Za-z0-9:_.-]{1,128}$'", name="ledgers_name_form"),
)

currencies = Table(
    "currencies",
    metadata,
    Column("ledger_id", Integer, nullable=False),
    Column("code", EXACT_TEXT, nullable=False),
    Column("exponent", SmallInteger, nullable=False),
    PrimaryKeyConstraint("ledger_id", "code", name=constraints.CURRENCY_CODE),
    ForeignKeyConstraint(["ledger_id"], ["ledgers.id"], name="currencies_ledger"),
    # For the accounts to refer to: an exponent cannot change under an account that counts with it.
    UniqueConstraint("ledger_id", "code", "exponent", name="currencies_exponent"),
    CheckConstraint("code ~ '^[A-Z][A-Z0-9]{2,11}$'", name="currencies_code_form"),
    CheckConstraint("exponent BETWEEN 0 AND 18", name="currencies_exponent_range"),
)

NORMAL_BALANCE = "CASE WHEN type IN ('asset', 'expense') THEN -balance ELSE balance END"

accounts = Table(
    "accounts",
    metadata,
    Column("ledger_id", Integer, nullable=False),
    Column("exponent", SmallInteger, nullable=False),
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("seq", BigInteger, nullable=False, server_default="0"),
    Column("last_posted_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=CLOCK),
    Column("code", EXACT_TEXT, nullable=False),
    Column("currency", EXACT_TEXT, nullable=False),
    Column("type", EXACT_TEXT, nullable=False),
    Column("status", EXACT_TEXT, nullable=False, server_default=Status.ACTIVE),
    Column("balance", Numeric, nullable=False, server_default="0"),
    Column("min_balance", Numeric),
    Column("max_balance", Numeric),
    Column("name", Text),
    Column("metadata", JSONB),
    PrimaryKeyConstraint("ledger_id", "id", name="accounts_pkey"),
    _key(constraints.ACCOUNT_CODE, "code", unique=True),
    ForeignKeyConstraint(
        ["ledger_id", "currency", "exponent"],
        ["currencies.ledger_id", "currencies.code", "currencies.exponent"],
        name="accounts_currency",
    ),
    # Asked at every posting: a bound in the pattern takes thirty times as long.
    CheckConstraint("code ~ '^[A-Za-z0-9:_.-]+$' AND length(code) <= 128", name="accounts_code_form"),
    CheckConstraint(_one_of("type", AccountType), name="accounts_type"),
    CheckConstraint(_one_of("status", Status), name="accounts_status"),
    CheckConstraint("abs(balance) < 1e30", name="accounts_balance_finite"),
    CheckConstraint("abs(min_balance) < 1e30 AND abs(max_balance) < 1e30", name="accounts_limits_finite"),
    CheckConstraint(f"({NORMAL_BALANCE}) >= min_balance", name="accounts_min_balance"),
    CheckConstraint(f"({NORMAL_BALANCE}) <= max_balance", name="accounts_max_balance"),
    CheckConstraint("status <> 'closed' OR balance = 0", name="accounts_closed_at_zero"),
    CheckConstraint("seq >= 0", name="accounts_seq"),
    # Balances change with every transfer: room on the page keeps those updates out of the indexes.
    postgresql_with={"fillfactor": "70"},
)

imports = Table(
    "imports",
    metadata,
    Column("ledger_id", Integer, nullable=False),
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("file", Text, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("rows", BigInteger, nullable=False, server_default="0"),
    Column("posted", BigInteger, nullable=False, server_default="0"),
    Column("replayed", BigInteger, nullable=False, server_default="0"),
    Column("rejected", BigInteger, nullable=False, server_default="0"),
    Column("totals", JSONB, nullable=False, server_default="{}"),
    Column("status", EXACT_TEXT, nullable=False),
    Column("rejects_file", Text),
    Column("actor", Text, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=CLOCK),
    Column("finished_at", DateTime(timezone=True)),
    Column("decided", BigInteger, nullable=False, server_default="0"),
    Column("reversed_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("ledger_id", "id", name="imports_pkey"),
    ForeignKeyConstraint(["ledger_id"], ["ledgers.id"], name="imports_ledger"),
    CheckConstraint(_one_of("status", ("running", "complete", "partial", "refused")), name="imports_status"),
    Index("imports_sha256", "ledger_id", "sha256"),
)

transactions = Table(
    "transactions",
    metadata,
    Column("ledger_id", Integer, nullable=False),
    Column("import_row", Integer),
    Column("id", UUID, nullable=False),
    Column("posted_at", DateTime(timezone=True), nullable=False),
    Column("xid8", XID8, nullable=False, server_default=WRITER),
    Column("import_id", BigInteger),
    Column("effective_at", DateTime(timezone=True)),
    Column("reverses", UUID),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("kind", EXACT_TEXT, nullable=False),
    Column("idempotency_key", EXACT_TEXT, nullable=False),
    Column("description", Text),
    Column("reference", Text),
    Column("metadata", JSONB),
    PrimaryKeyConstraint("ledger_id", "id", name=constraints.TRANSACTION_ID),
    _key(constraints.IDEMPOTENCY_KEY, "idempotency_key", unique=True),
    _key(constraints.REVERSED_ONCE, "reverses", unique=True),
    _key("transactions_import", "import_id"),
    ForeignKeyConstraint(
        ["ledger_id", "reverses"], ["transactions.ledger_id", "transactions.id"], name="transactions_reverses"
    ),
    ForeignKeyConstraint(
        ["ledger_id", "import_id"], ["imports.ledger_id", "imports.id"], name="transactions_import_receipt"
    ),
    CheckConstraint(_one_of("kind", Kind), name="transactions_kind"),
    CheckConstraint("(kind = 'reversal') = (reverses IS NOT NULL)", name="transactions_reversal_link"),
    CheckConstraint("octet_length(fingerprint) = 32", name="transactions_fingerprint"),
    CheckConstraint("idempotency_key <> ''", name="transactions_key_given"),
)

transaction_entries = Table(
    "transaction_entries",
    metadata,
    Column("ledger_id", Integer, nullable=False),
    Column("account_id", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("transaction_id", UUID, nullable=False),
    Column("amount", Numeric, nullable=False),
    Column("balance_after", Numeric, nullable=False),
    PrimaryKeyConstraint("ledger_id", "account_id", "seq", name=constraints.ENTRY_SEQ),
    _key("transaction_entries_transaction", "transaction_id"),
    ForeignKeyConstraint(
        ["ledger_id", "account_id"], ["accounts.ledger_id", "accounts.id"], name="transaction_entries_account"
    ),
    ForeignKeyConstraint(
        ["ledger_id", "transaction_id"],
        ["transactions.ledger_id", "transactions.id"],
        name="transaction_entries_parent",
    ),
    CheckConstraint("amount <> 0 AND abs(amount) < 1e30", name="transaction_entries_amount"),
    CheckConstraint("abs(balance_after) < 1e30", name="transaction_entries_balance"),
    CheckConstraint("seq > 0", name="transaction_entries_seq"),
)

reconciliations = Table(
    "reconciliations",
    metadata,
    Column("ledger_id", Integer, nullable=False),
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("mode", EXACT_TEXT, nullable=False),
    Column("status", EXACT_TEXT, nullable=False),
    Column("checked", JSONB, nullable=False),
    Column("findings", JSONB, nullable=False),
    Column("actor", Text, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("finished_at", DateTime(timezone=True), nullable=False, server_default=CLOCK),
    Column("account_id", BigInteger),
    Column("detail", JSONB),
    PrimaryKeyConstraint("ledger_id", "id", name="reconciliations_pkey"),
    ForeignKeyConstraint(["ledger_id"], ["ledgers.id"], name="reconciliations_ledger"),
    CheckConstraint(_one_of("mode", ("full", "incremental", "statement")), name="reconciliations_mode"),
    CheckConstraint("(mode = 'statement') = (account_id IS NOT NULL)", name="reconciliations_of_account"),
    CheckConstraint(_one_of("status", ("clean", "differences")), name="reconciliations_status"),
    Index("reconciliations_account", "ledger_id", "account_id", "id", postgresql_where=text("account_id IS NOT NULL")),
)

# Without a foreign key, which would lock each account that is written about.
reconciliation_checkpoints = Table(
    "reconciliation_checkpoints",
    metadata,
    Column("ledger_id", Integer, nullable=False),
    Column("account_id", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("balance", Numeric, nullable=False),
    Column("verified_at", DateTime(timezone=True), nullable=False, server_default=CLOCK),
    PrimaryKeyConstraint("ledger_id", "account_id", name="reconciliation_checkpoints_pkey"),
)

reconciliation_digests = Table(
    "reconciliation_digests",
    metadata,
    Column("ledger_id", Integer, nullable=False),
    Column("part", EXACT_TEXT, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("total", Numeric, nullable=False),
    Column("weighted", Numeric),
    PrimaryKeyConstraint("ledger_id", "part", name="reconciliation_digests_pkey"),
    ForeignKeyConstraint(["ledger_id"], ["ledgers.id"], name="reconciliation_digests_ledger"),
)

# An account that is kept at a bank: where its reconciliation begins. In the opening balance of the first statement are
# the entries up to `covered_seq` that stand, by day and seq, not behind (`covered_on`, `covered_on_seq`); what is
# posted later is not, however it is dated. Lines that are booked before `begins_on` are in it, too.
bank_accounts = Table(
    "bank_accounts",
    metadata,
    Column("ledger_id", Integer, nullable=False),
    Column("account_id", BigInteger, nullable=False),
    Column("bank_account", Text, nullable=False),
    Column("covered_seq", BigInteger, nullable=False),
    Column("covered_on", Date, nullable=False),
    Column("covered_on_seq", BigInteger, nullable=False),
    Column("begins_on", Date, nullable=False),
    PrimaryKeyConstraint("ledger_id", "account_id", name=constraints.BANK_ACCOUNT),
    ForeignKeyConstraint(
        ["ledger_id", "account_id"], ["accounts.ledger_id", "accounts.id"], name="bank_accounts_account"
    ),
)

# Amounts here are the bank's: what it credits is positive, and a debit in the books.
bank_statements = Table(
    "bank_statements",
    metadata,
    Column("ledger_id", Integer, nullable=False),
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("account_id", BigInteger, nullable=False),
    Column("identifier", Text, nullable=False),
    Column("file", Text, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("opening", Numeric),
    Column("opening_on", Date),
    Column("closing", Numeric),
    Column("closing_on", Date),
    Column("tells_until", Date, nullable=False),
    Column("lines", Integer, nullable=False),
    Column("accepted", Text),
    Column("reconciliation_id", BigInteger, nullable=False),
    PrimaryKeyConstraint("ledger_id", "id", name="bank_statements_pkey"),
    ForeignKeyConstraint(
        ["ledger_id", "account_id"],
        ["bank_accounts.ledger_id", "bank_accounts.account_id"],
        name="bank_statements_account",
    ),
    UniqueConstraint("ledger_id", "account_id", "sha256", name=constraints.STATEMENT_ONCE),
)

bank_lines = Table(
    "bank_lines",
    metadata,
    Column("ledger_id", Integer, nullable=False),
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("account_id", BigInteger, nullable=False),
    Column("statement_id", BigInteger, nullable=False),
    Column("booked_on", Date, nullable=False),
    Column("valued_on", Date),
    Column("amount", Numeric, nullable=False),
    Column("fee", Numeric, nullable=False),
    Column("payment_references", ARRAY(Text), nullable=False),
    Column("counterparty", Text, nullable=False),
    Column("description", Text, nullable=False),
    PrimaryKeyConstraint("ledger_id", "id", name="bank_lines_pkey"),
    ForeignKeyConstraint(
        ["ledger_id", "statement_id"], ["bank_statements.ledger_id", "bank_statements.id"], name="bank_lines_statement"
    ),
    CheckConstraint("abs(amount) < 1e30 AND abs(fee) < 1e30", name="bank_lines_finite"),
    Index("bank_lines_account", "ledger_id", "account_id", "booked_on"),
)

bank_matches = Table(
    "bank_matches",
    metadata,
    Column("ledger_id", Integer, nullable=False),
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("account_id", BigInteger, nullable=False),
    Column("rule", EXACT_TEXT, nullable=False),
    Column("reason", Text),
    Column("actor", Text, nullable=False),
    Column("reconciliation_id", BigInteger),
    Column("matched_at", DateTime(timezone=True), nullable=False, server_default=CLOCK),
    Column("undone_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("ledger_id", "id", name="bank_matches_pkey"),
    ForeignKeyConstraint(
        ["ledger_id", "account_id"],
        ["bank_accounts.ledger_id", "bank_accounts.account_id"],
        name="bank_matches_account",
    ),
    CheckConstraint(_one_of("rule", Rule), name="bank_matches_rule"),
    Index("bank_matches_run", "ledger_id", "reconciliation_id"),
)

# A line and an entry are in one match that is not undone, or in none.
bank_match_lines = Table(
    "bank_match_lines",
    metadata,
    Column("ledger_id", Integer, nullable=False),
    Column("match_id", BigInteger, nullable=False),
    Column("line_id", BigInteger, nullable=False),
    Column("undone", Boolean, nullable=False, server_default="false"),
    PrimaryKeyConstraint("ledger_id", "match_id", "line_id", name="bank_match_lines_pkey"),
    ForeignKeyConstraint(
        ["ledger_id", "match_id"], ["bank_matches.ledger_id", "bank_matches.id"], name="bank_match_lines_match"
    ),
    ForeignKeyConstraint(
        ["ledger_id", "line_id"], ["bank_lines.ledger_id", "bank_lines.id"], name="bank_match_lines_line"
    ),
    Index(constraints.LINE_ONCE, "ledger_id", "line_id", unique=True, postgresql_where=text("NOT undone")),
)

# Without a foreign key to the entries: it would ask once a row, and whether an entry is missing, `reconcile` says.
bank_match_entries = Table(
    "bank_match_entries",
    metadata,
    Column("ledger_id", Integer, nullable=False),
    Column("match_id", BigInteger, nullable=False),
    Column("account_id", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("undone", Boolean, nullable=False, server_default="false"),
    PrimaryKeyConstraint("ledger_id", "match_id", "seq", name="bank_match_entries_pkey"),
    ForeignKeyConstraint(
        ["ledger_id", "match_id"], ["bank_matches.ledger_id", "bank_matches.id"], name="bank_match_entries_match"
    ),
    Index(constraints.ENTRY_ONCE, "ledger_id", "account_id", "seq", unique=True, postgresql_where=text("NOT undone")),
)

# Who may believe what is kept in Redis, and whether anybody may: docs/caching.md. One row a ledger and purpose.
cache_epochs = Table(
    "cache_epochs",
    metadata,
    Column("ledger_id", Integer, nullable=False),
    Column("purpose", EXACT_TEXT, nullable=False),
    Column("id", UUID, nullable=False),
    Column("state", EXACT_TEXT, nullable=False),
    Column("instance", EXACT_TEXT, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("server_started_at", DateTime(timezone=True), nullable=False, server_default=SERVER_START),
    Column("written_by", XID8, nullable=False, server_default=WRITER),
    Column("file", Text, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False, server_default=CLOCK),
    Column("reason", Text),
    PrimaryKeyConstraint("ledger_id", "purpose", name="cache_epochs_pkey"),
    ForeignKeyConstraint(["ledger_id"], ["ledgers.id"], name="cache_epochs_ledger"),
    CheckConstraint(_one_of("purpose", ("balances", "outcomes")), name="cache_epochs_purpose"),
    CheckConstraint(_one_of("state", STATES), name="cache_epochs_state"),
)

audit_logs = Table(
    "audit_logs",
    metadata,
    Column("ledger_id", Integer, nullable=False),
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=CLOCK),
    Column("xid8", XID8, nullable=False, server_default=WRITER),
    Column("actor", Text, nullable=False),
    Column("action", EXACT_TEXT, nullable=False),
    Column("subject", EXACT_TEXT, nullable=False),
    Column("outcome", EXACT_TEXT, nullable=False),
    Column("request_id", EXACT_TEXT, nullable=False),
    Column("detail", JSONB),
    Column("trace_id", EXACT_TEXT),
    PrimaryKeyConstraint("ledger_id", "id", name="audit_logs_pkey"),
    CheckConstraint("trace_id ~ '^[0-9a-f]+$' AND length(trace_id) = 32", name="audit_logs_trace"),
    Index("audit_logs_subject", "ledger_id", "subject"),
)
