"""What the database refuses by itself, whoever writes: raw SQL against books that the services made.

What is held by constraints and by triggers that are always on is tried three ways: by INSERT, by COPY, and by INSERT
as a replica, which switches ordinary triggers off. Foreign keys of PostgreSQL are ordinary triggers, so they are not
asked of a replica.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from ledgerctl.core.model import Kind, Leg, NewAccount, Side
from ledgerctl.core.requesting import request
from ledgerctl.db.connection import Connection
from ledgerctl.ids import uuid7
from ledgerctl.services import accounts, payments
from ledgerctl.services.books import Books

LEDGER = "1"
FINGERPRINT = "\\x" + "00" * 32
LIMIT = Decimal(500)

Row = Sequence[str | None]
Way = Callable[[Connection, str, Sequence[str], Sequence[Row]], None]


# -- the books, and three ways to write to them ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scene:
    """`bank` (an asset) lent `alice` (a liability) 100 EUR, both from 0 to 500; two accounts in JPY are empty."""

    conn: Connection
    books: Books
    ids: dict[str, str]
    old: UUID


@pytest.fixture
def scene(books: Books, conn: Connection) -> Scene:
    zero = Decimal(0)
    accounts.create(
        books,
        [
            NewAccount("bank", "asset", "EUR", 2, None, zero, LIMIT, None),
            NewAccount("alice", "liability", "EUR", 2, None, zero, LIMIT, None),
            NewAccount("till", "asset", "JPY", 0, None, None, None, None),
            NewAccount("yuki", "liability", "JPY", 0, None, None, None, None),
        ],
    )
    legs = [
        Leg("bank", Side.DEBIT, Decimal(100), "EUR"),
        Leg("alice", Side.CREDIT, Decimal(100), "EUR"),
    ]
    receipt = payments.post_one(books, request(uuid7(), "first", Kind.TRANSFER, legs))
    ids = {code: str(number) for code, number in conn.execute("SELECT code, id FROM accounts")}
    return Scene(conn, books, {**ids, "nobody": "987654321"}, receipt.transaction.id)


def by_insert(conn: Connection, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    row = sql.SQL("({})").format(sql.SQL(", ").join([sql.Placeholder()] * len(columns)))
    statement = sql.SQL("INSERT INTO {} ({}) VALUES {}").format(
        sql.Identifier(table), _listed(columns), sql.SQL(", ").join([row] * len(rows))
    )
    conn.execute(statement, [value for given in rows for value in given])


def by_copy(conn: Connection, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), _listed(columns))
    with conn.cursor().copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def as_replica(conn: Connection, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    conn.execute("SET session_replication_role = replica")
    by_insert(conn, table, columns, rows)


def _listed(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


WAYS = pytest.mark.parametrize("way", [by_insert, by_copy, as_replica])
FOREIGN_KEY_WAYS = pytest.mark.parametrize("way", [by_insert, by_copy])
ROLES = pytest.mark.parametrize("role", ["origin", "replica"])


def put_transactions(scene: Scene, way: Way, *rows: dict[str, str | None]) -> None:
    """Each row is a good transfer but for what is given."""
    for_all: dict[str, str | None] = {
        "ledger_id": LEDGER,
        "id": None,
        "posted_at": "2026-01-01 00:00:00+00",
        "fingerprint": FINGERPRINT,
        "kind": "transfer",
        "idempotency_key": None,
        "reverses": None,
        "import_id": None,
    }
    written = []
    for given in rows:
        fresh = uuid7()
        row = {**for_all, "id": str(fresh), "idempotency_key": f"raw-{fresh}", **given}
        written.append([str(scene.old) if value == "OLD" else value for value in row.values()])
    way(scene.conn, "transactions", list(for_all), written)


class E(NamedTuple):
    """An entry to write: its transaction is the "new" one, the "old" one, or "none" that exists."""

    account: str
    seq: int
    amount: str
    balance_after: str
    transaction: str = "new"


def put_entries(scene: Scene, way: Way, *statements: Sequence[E]) -> None:
    """One transaction with a new row in `transactions` and these statements."""
    new = uuid7()
    names = {"new": new, "old": scene.old, "none": uuid7()}
    columns = ["ledger_id", "account_id", "seq", "transaction_id", "amount", "balance_after"]
    with scene.conn.transaction():
        put_transactions(scene, way, {"id": str(new)})
        for entries in statements:
            rows = [
                [LEDGER, scene.ids[e.account], str(e.seq), str(names[e.transaction]), e.amount, e.balance_after]
                for e in entries
            ]
            way(scene.conn, "transaction_entries", columns, rows)


def refusal(caught: pytest.ExceptionInfo[psycopg.Error]) -> tuple[str | None, str | None]:
    return caught.value.sqlstate, caught.value.diag.constraint_name


def refused_every_way(conn: Connection, write: Callable[[Way], None]) -> set[tuple[str | None, str | None]]:
    """The refusals of all three ways: one, if they agree. A way that is let through fails the test."""
    refusals = set()
    for way in (by_insert, by_copy, as_replica):
        with pytest.raises(psycopg.Error) as caught, conn.transaction():
            write(way)
        refusals.add(refusal(caught))
    return refusals


TRIGGER, CHECK, UNIQUE, FOREIGN, RESTRICT = "23000", "23514", "23505", "23503", "23001"


# -- entries ---------------------------------------------------------------------------------------------------------

BANK, ALICE = E("bank", 2, "-10", "-110"), E("alice", 2, "10", "110")

BAD_ENTRIES: dict[str, tuple[list[list[E]], str, str]] = {
    "unbalanced": ([[BANK, E("alice", 2, "9.99", "109.99")]], TRIGGER, "entries_sum_to_zero"),
    "one leg": ([[ALICE]], TRIGGER, "entries_sum_to_zero"),
    "legs split over two statements": ([[BANK], [ALICE]], TRIGGER, "entries_sum_to_zero"),
    "zero over two currencies": ([[BANK, E("yuki", 1, "10", "10")]], TRIGGER, "entries_sum_to_zero"),
    "two transactions that make up for each other": (
        [[BANK, ALICE._replace(transaction="old")]],
        TRIGGER,
        "entries_sum_to_zero",
    ),
    "balanced legs for an old transaction": (
        [[BANK._replace(transaction="old"), ALICE._replace(transaction="old")]],
        TRIGGER,
        "entries_of_a_new_transaction",
    ),
    "good legs, then others for an old transaction": (
        [
            [BANK, ALICE],
            [E("bank", 3, "-1", "-111", "old"), E("alice", 3, "1", "111", "old")],
        ],
        TRIGGER,
        "entries_of_a_new_transaction",
    ),
    "no such transaction": (
        [[BANK._replace(transaction="none"), ALICE._replace(transaction="none")]],
        TRIGGER,
        "entries_of_a_new_transaction",
    ),
    "no such account": ([[BANK, E("nobody", 1, "10", "10")]], TRIGGER, "entry_fits_account"),
    "more decimals than EUR": (
        [[E("bank", 2, "-0.001", "-100.001"), E("alice", 2, "0.001", "100.001")]],
        TRIGGER,
        "entry_fits_account",
    ),
    "more decimals than JPY": (
        [[E("till", 1, "-0.5", "-0.5"), E("yuki", 1, "0.5", "0.5")]],
        TRIGGER,
        "entry_fits_account",
    ),
    "gap in seq": ([[BANK, ALICE._replace(seq=3)]], TRIGGER, "entries_without_gap"),
    "first entry is not 1": (
        [[E("till", 1, "-5", "-5"), E("yuki", 2, "5", "5")]],
        TRIGGER,
        "entries_without_gap",
    ),
    "balance_after does not follow": ([[BANK, ALICE._replace(balance_after="111")]], TRIGGER, "entries_without_gap"),
    "first balance_after is not the amount": (
        [[E("till", 1, "-5", "-5"), E("yuki", 1, "5", "6")]],
        TRIGGER,
        "entries_without_gap",
    ),
    "seq below 1": ([[BANK, ALICE._replace(seq=0)]], CHECK, "transaction_entries_seq"),
    "seq fork": ([[BANK, E("alice", 1, "10", "10")]], UNIQUE, "transaction_entries_pkey"),
    "seq twice": ([[BANK, BANK, ALICE, ALICE]], UNIQUE, "transaction_entries_pkey"),
    **{
        f"amount {amount}": ([[BANK, ALICE._replace(amount=amount)]], CHECK, "transaction_entries_amount")
        for amount in ("0", "NaN", "Infinity", "-Infinity", "1e30", "-1e30")
    },
    **{
        f"balance_after {balance}": (
            [[BANK, ALICE._replace(balance_after=balance)]],
            CHECK,
            "transaction_entries_balance",
        )
        for balance in ("NaN", "Infinity", "-Infinity", "1e30", "-1e30")
    },
}


@pytest.mark.parametrize("case", BAD_ENTRIES)
def test_bad_entries_are_refused(scene: Scene, case: str) -> None:
    statements, sqlstate, constraint = BAD_ENTRIES[case]

    refusals = refused_every_way(scene.conn, lambda way: put_entries(scene, way, *statements))

    assert refusals == {(sqlstate, constraint)}
    [[entries]] = scene.conn.execute("SELECT count(*) FROM transaction_entries")
    assert entries == 2


@pytest.mark.parametrize("column", ["account_id", "seq", "transaction_id", "amount", "balance_after"])
def test_an_entry_has_no_null(scene: Scene, column: str) -> None:
    row = dict.fromkeys(("ledger_id", "account_id", "seq"), "1") | {"amount": "1", "balance_after": "1"}
    row |= {"transaction_id": str(scene.old)}
    columns = [name for name in row if name != column]

    with pytest.raises(psycopg.errors.NotNullViolation):
        by_insert(scene.conn, "transaction_entries", columns, [[row[name] for name in columns]])


@WAYS
def test_a_correct_posting_is_accepted(scene: Scene, way: Way) -> None:
    """Decimals beyond the currency's are no objection when they are zeros; legs in pairs may come in two statements."""
    conn = scene.conn
    with conn.transaction():
        put_entries(
            scene,
            way,
            [E("bank", 2, "-10.000", "-110.000"), E("alice", 2, "10", "110")],
            [E("alice", 3, "-5", "105"), E("bank", 3, "5", "-105")],
        )
        conn.execute("UPDATE accounts SET seq = 3, balance = -105 WHERE code = 'bank'")
        conn.execute("UPDATE accounts SET seq = 3, balance = 105 WHERE code = 'alice'")

    found: dict[str, Decimal] = dict(
        conn.execute("SELECT account, balance FROM account_balances WHERE currency = 'EUR'").fetchall()
    )
    assert found == {"bank": 105, "alice": 105}


def test_tables_of_the_session_do_not_stand_in_for_the_books(scene: Scene) -> None:
    """A trigger that looked in pg_temp first would believe the session."""
    scene.conn.execute("CREATE TEMP TABLE accounts AS SELECT * FROM accounts")
    scene.conn.execute("INSERT INTO pg_temp.accounts SELECT * FROM public.accounts LIMIT 1")
    scene.conn.execute("UPDATE pg_temp.accounts SET id = 987654321, code = 'nobody' WHERE code = 'yuki'")

    with pytest.raises(psycopg.Error) as caught:
        put_entries(scene, by_insert, [BANK, E("nobody", 1, "10", "10")])

    assert refusal(caught) == (TRIGGER, "entry_fits_account")


# -- accounts --------------------------------------------------------------------------------------------------------

BAD_ACCOUNTS: dict[str, tuple[dict[str, str], str, str]] = {
    "balance without entries": ({"balance": "5"}, TRIGGER, "account_equals_last_entry"),
    "seq without entries": ({"seq": "1"}, TRIGGER, "account_equals_last_entry"),
    "liability below its minimum": ({"balance": "-1", "min_balance": "0"}, CHECK, "accounts_min_balance"),
    "liability above its maximum": ({"balance": "6", "max_balance": "5"}, CHECK, "accounts_max_balance"),
    "asset below its minimum": (
        {"type": "asset", "balance": "1", "min_balance": "0"},
        CHECK,
        "accounts_min_balance",
    ),
    "asset above its maximum": (
        {"type": "asset", "balance": "-6", "max_balance": "5"},
        CHECK,
        "accounts_max_balance",
    ),
    "empty, and its minimum above zero": ({"min_balance": "1"}, CHECK, "accounts_min_balance"),
    "empty, and its maximum below zero": ({"max_balance": "-1"}, CHECK, "accounts_max_balance"),
    "closed with a balance": ({"status": "closed", "balance": "5"}, CHECK, "accounts_closed_at_zero"),
    "balance NaN": ({"balance": "NaN"}, CHECK, "accounts_balance_finite"),
    "balance Infinity": ({"balance": "Infinity"}, CHECK, "accounts_balance_finite"),
    "balance 1e30": ({"balance": "1e30"}, CHECK, "accounts_balance_finite"),
    "minimum NaN": ({"min_balance": "NaN"}, CHECK, "accounts_limits_finite"),
    "maximum Infinity": ({"max_balance": "Infinity"}, CHECK, "accounts_limits_finite"),
    "maximum NaN": ({"max_balance": "NaN"}, CHECK, "accounts_limits_finite"),
    "seq below 0": ({"seq": "-1"}, CHECK, "accounts_seq"),
    "no such type": ({"type": "revenue"}, CHECK, "accounts_type"),
    "no such status": ({"status": "open"}, CHECK, "accounts_status"),
    "code with a space": ({"code": "a b"}, CHECK, "accounts_code_form"),
    "code with a newline": ({"code": "a\n"}, CHECK, "accounts_code_form"),
    "code that is taken": ({"code": "alice"}, UNIQUE, "accounts_code"),
}
ACCOUNT = {
    "ledger_id": LEDGER,
    "code": "raw",
    "type": "liability",
    "currency": "EUR",
    "exponent": "2",
    "status": "active",
    "balance": "0",
    "seq": "0",
    "min_balance": None,
    "max_balance": None,
}


@pytest.mark.parametrize("case", BAD_ACCOUNTS)
def test_bad_accounts_are_refused(scene: Scene, case: str) -> None:
    given, sqlstate, constraint = BAD_ACCOUNTS[case]

    refusals = refused_every_way(
        scene.conn, lambda way: way(scene.conn, "accounts", list(ACCOUNT), [list({**ACCOUNT, **given}.values())])
    )

    assert refusals == {(sqlstate, constraint)}


@FOREIGN_KEY_WAYS
@pytest.mark.parametrize("given", [{"currency": "XXZ"}, {"exponent": "3"}, {"ledger_id": "77"}])
def test_an_account_counts_in_a_currency_of_its_ledger(scene: Scene, way: Way, given: dict[str, str]) -> None:
    with pytest.raises(psycopg.Error) as caught:
        way(scene.conn, "accounts", list(ACCOUNT), [list({**ACCOUNT, **given}.values())])

    assert refusal(caught) == (FOREIGN, "accounts_currency")


BAD_UPDATES: dict[str, tuple[str, str, str]] = {
    "balance moved alone": ("balance = 101", TRIGGER, "account_equals_last_entry"),
    "seq moved on": ("seq = 2", TRIGGER, "account_equals_last_entry"),
    "seq and balance moved back": ("seq = 0, balance = 0", TRIGGER, "account_equals_last_entry"),
    "above the maximum": ("balance = 501", CHECK, "accounts_max_balance"),
    "below the minimum": ("balance = -0.01", CHECK, "accounts_min_balance"),
    "minimum above the balance": ("min_balance = 100.01", CHECK, "accounts_min_balance"),
    "maximum below the balance": ("max_balance = 99.99", CHECK, "accounts_max_balance"),
    "closed with a balance": ("status = 'closed'", CHECK, "accounts_closed_at_zero"),
    "currency": ("currency = 'JPY'", RESTRICT, "append_only"),
    "currency and exponent": ("currency = 'JPY', exponent = 0", RESTRICT, "append_only"),
    "exponent": ("exponent = 3", RESTRICT, "append_only"),
    "type": ("type = 'equity'", RESTRICT, "append_only"),
    "ledger": ("ledger_id = 2", RESTRICT, "append_only"),
    "id": ("id = DEFAULT", RESTRICT, "append_only"),
    "birthday": ("created_at = now()", RESTRICT, "append_only"),
}


@ROLES
@pytest.mark.parametrize("case", BAD_UPDATES)
def test_bad_changes_of_an_account_are_refused(scene: Scene, role: str, case: str) -> None:
    change, sqlstate, constraint = BAD_UPDATES[case]
    scene.conn.execute(f"SET session_replication_role = {role}".encode())

    with pytest.raises(psycopg.Error) as caught:
        scene.conn.execute(f"UPDATE accounts SET {change} WHERE code = 'alice'".encode())

    assert refusal(caught) == (sqlstate, constraint)


@ROLES
@pytest.mark.parametrize(
    ("balance", "constraint"), [("0.01", "accounts_min_balance"), ("-500.01", "accounts_max_balance")]
)
def test_limits_of_an_asset_are_on_its_normal_side(scene: Scene, role: str, balance: str, constraint: str) -> None:
    scene.conn.execute(f"SET session_replication_role = {role}".encode())

    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        scene.conn.execute(f"UPDATE accounts SET balance = {balance} WHERE code = 'bank'".encode())

    assert caught.value.diag.constraint_name == constraint


@ROLES
def test_an_account_cannot_stay_behind_its_entries_once_it_is_touched(scene: Scene, role: str) -> None:
    scene.conn.execute(f"SET session_replication_role = {role}".encode())
    put_entries(scene, by_insert, [BANK, ALICE])

    with pytest.raises(psycopg.Error) as caught:
        scene.conn.execute("UPDATE accounts SET last_posted_at = now() WHERE code = 'alice'")

    assert refusal(caught) == (TRIGGER, "account_equals_last_entry")


def test_names_statuses_and_limits_may_change(scene: Scene) -> None:
    scene.conn.execute("UPDATE accounts SET code = 'carol', status = 'frozen', max_balance = 100 WHERE code = 'alice'")
    scene.conn.execute("UPDATE accounts SET status = 'closed' WHERE code = 'yuki'")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE currencies SET exponent = 3 WHERE code = 'EUR'",
        "UPDATE currencies SET code = 'EUX' WHERE code = 'EUR'",
        "DELETE FROM currencies WHERE code = 'EUR'",
    ],
)
def test_a_currency_cannot_change_under_its_accounts(scene: Scene, statement: str) -> None:
    with pytest.raises(psycopg.IntegrityError) as caught:
        scene.conn.execute(statement.encode())

    assert refusal(caught) == (FOREIGN, "accounts_currency")


# -- transactions ----------------------------------------------------------------------------------------------------

REVERSAL: dict[str, str | None] = {"kind": "reversal", "reverses": "OLD"}
BAD_TRANSACTIONS: dict[str, tuple[list[dict[str, str | None]], str, str]] = {
    "key that is used": ([{"idempotency_key": "first"}], UNIQUE, "transactions_idempotency_key"),
    "key twice": ([{"idempotency_key": "k"}, {"idempotency_key": "k"}], UNIQUE, "transactions_idempotency_key"),
    "id that is used": ([{"id": "OLD"}], UNIQUE, "transactions_pkey"),
    "two reversals": ([REVERSAL, REVERSAL], UNIQUE, "transactions_reversed_once"),
    "reversal of nothing": ([{"kind": "reversal"}], CHECK, "transactions_reversal_link"),
    "transfer that reverses": ([{"reverses": "OLD"}], CHECK, "transactions_reversal_link"),
    "journal that reverses": ([{"kind": "journal", "reverses": "OLD"}], CHECK, "transactions_reversal_link"),
    "no such kind": ([{"kind": "gift"}], CHECK, "transactions_kind"),
    "empty key": ([{"idempotency_key": ""}], CHECK, "transactions_key_given"),
    "short fingerprint": ([{"fingerprint": "\\x00"}], CHECK, "transactions_fingerprint"),
    "no such import": ([{"import_id": "42"}], TRIGGER, "transactions_of_an_import"),
    "no such import, after one row without": ([{}, {"import_id": "42"}], TRIGGER, "transactions_of_an_import"),
}


@pytest.mark.parametrize("case", BAD_TRANSACTIONS)
def test_bad_transactions_are_refused(scene: Scene, case: str) -> None:
    rows, sqlstate, constraint = BAD_TRANSACTIONS[case]

    refusals = refused_every_way(scene.conn, lambda way: put_transactions(scene, way, *rows))

    assert refusals == {(sqlstate, constraint)}


@WAYS
def test_what_a_service_reversed_is_not_reversed_again(scene: Scene, way: Way) -> None:
    payments.reverse(scene.books, uuid7(), "undo", scene.old, None, None)

    with pytest.raises(psycopg.Error) as caught:
        put_transactions(scene, way, REVERSAL)

    assert refusal(caught) == (UNIQUE, "transactions_reversed_once")


@FOREIGN_KEY_WAYS
def test_a_reversal_is_of_a_transaction_that_exists(scene: Scene, way: Way) -> None:
    with pytest.raises(psycopg.Error) as caught:
        put_transactions(scene, way, {"kind": "reversal", "reverses": str(uuid7())})

    assert refusal(caught) == (FOREIGN, "transactions_reverses")


@WAYS
def test_an_import_of_another_ledger_is_no_receipt(scene: Scene, way: Way) -> None:
    assert accounts.create_ledger(scene.books.database, "other", "tester", "request-1")
    receipt = _import(scene.conn, "other")

    with pytest.raises(psycopg.Error) as caught:
        put_transactions(scene, way, {"import_id": str(receipt)})

    assert refusal(caught) == (TRIGGER, "transactions_of_an_import")
    put_transactions(scene, way, {"import_id": str(_import(scene.conn, "main"))})


def _import(conn: Connection, ledger: str) -> int:
    [[number]] = conn.execute(
        "INSERT INTO imports (ledger_id, file, sha256, status, actor)"
        " SELECT id, 'f.csv', '', 'complete', 'tester' FROM ledgers WHERE name = %s RETURNING id",
        [ledger],
    ).fetchall()
    return int(number)


# -- what is written stays -------------------------------------------------------------------------------------------

APPEND_ONLY = {
    "transactions": "description = 'x'",
    "transaction_entries": "amount = amount",
    "audit_logs": "actor = 'x'",
    "reconciliations": "status = 'clean'",
}
KEPT = ["accounts", "ledgers", "imports"]
STAYS = [
    *(f"UPDATE {table} SET {change}" for table, change in APPEND_ONLY.items()),
    *(f"DELETE FROM {table}" for table in [*APPEND_ONLY, *KEPT]),
    *(f"TRUNCATE {table} CASCADE" for table in [*APPEND_ONLY, *KEPT]),
    "TRUNCATE transaction_entries",
    "INSERT INTO transactions SELECT * FROM transactions"
    " ON CONFLICT (idempotency_key, ledger_id) WHERE idempotency_key IS NOT NULL DO UPDATE SET description = 'x'",
    "WITH gone AS (DELETE FROM transaction_entries RETURNING 1) SELECT count(*) FROM gone",
]


@ROLES
@pytest.mark.parametrize("statement", STAYS)
def test_what_is_written_stays(scene: Scene, role: str, statement: str) -> None:
    _import(scene.conn, "main")
    scene.conn.execute(
        "INSERT INTO reconciliations (ledger_id, mode, status, checked, findings, actor, started_at)"
        " VALUES (1, 'full', 'clean', '{}', '[]', 'tester', now())"
    )
    scene.conn.execute(f"SET session_replication_role = {role}".encode())

    with pytest.raises(psycopg.Error) as caught:
        scene.conn.execute(statement.encode())

    assert refusal(caught) == (RESTRICT, "append_only")


# -- views -----------------------------------------------------------------------------------------------------------


def test_views_show_the_normal_side(scene: Scene) -> None:
    def rows(query: str) -> list[tuple[Any, ...]]:
        return scene.conn.execute(query.encode()).fetchall()

    hundred = Decimal(100)
    stored = rows("SELECT code, balance FROM accounts WHERE currency = 'EUR' ORDER BY code")
    assert stored == [("alice", hundred), ("bank", -hundred)]
    assert rows("SELECT account, balance FROM account_balances WHERE currency = 'EUR' ORDER BY account") == [
        ("alice", hundred),
        ("bank", hundred),
    ]
    assert rows("SELECT account, debit, credit, balance, counterparties FROM account_history ORDER BY account") == [
        ("alice", None, hundred, hundred, ["bank"]),
        ("bank", hundred, None, hundred, ["alice"]),
    ]
    assert rows("SELECT type, debits, credits FROM trial_balance WHERE currency = 'EUR' ORDER BY type") == [
        ("asset", hundred, 0),
        ("liability", 0, hundred),
    ]
