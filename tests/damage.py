"""Small books, and every way to damage them that a check is there for: a superuser who switched the guards off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from ledgerctl.core.model import Kind, Leg, NewAccount, Side
from ledgerctl.core.requesting import request
from ledgerctl.db.connection import Connection
from ledgerctl.ids import uuid7
from ledgerctl.services import accounts, payments
from ledgerctl.services.books import Books

TABLES = ("transactions", "transaction_entries", "accounts", "currencies")


@dataclass(frozen=True, slots=True)
class Scene:
    """bank lent alice 100 and bob 40; then 15 of bob's were reversed. `names` are for the words of damage and finding.

    Entries: bank -100, -40, +15; alice 100; bob 40, -15.
    """

    conn: Connection
    books: Books
    names: dict[str, str]


def scene(books: Books, conn: Connection, between: Callable[[], object] = lambda: None) -> Scene:
    """`between` is done when the accounts are there, and nothing is posted."""
    zero = Decimal(0)
    new = [
        NewAccount("bank", "asset", "EUR", 2, None, None, None, None),
        NewAccount("alice", "liability", "EUR", 2, None, zero, Decimal(500), None),
        NewAccount("bob", "liability", "EUR", 2, None, zero, None, None),
    ]
    accounts.create(books, new)
    between()
    names = {"none": str(uuid7())}
    for name, to, amount in (("first", "alice", 100), ("second", "bob", 40)):
        legs = [
            Leg("bank", Side.DEBIT, Decimal(amount), "EUR"),
            Leg(to, Side.CREDIT, Decimal(amount), "EUR"),
        ]
        receipt = payments.post_one(books, request(uuid7(), name, Kind.TRANSFER, legs))
        names[name] = str(receipt.transaction.id)
    undone = payments.reverse(books, uuid7(), "undo", receipt.transaction.id, Decimal(15), None)
    names["undo"] = str(undone.transaction.id)
    names |= {code: str(number) for code, number in conn.execute("SELECT code, id FROM accounts")}
    return Scene(conn, books, names)


def damage(scene: Scene, *statements: str) -> None:
    for table in TABLES:
        scene.conn.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())
    for statement in statements:
        scene.conn.execute(statement.format_map(scene.names).encode())


ENTRY = "UPDATE transaction_entries SET {} WHERE account_id = {{{}}} AND seq = {}"
NO_LIMIT = "ALTER TABLE accounts DROP CONSTRAINT {}"
NO_LINK = "ALTER TABLE transactions DROP CONSTRAINT transactions_reversal_link"
NO_AMOUNT = "ALTER TABLE transaction_entries DROP CONSTRAINT transaction_entries_amount"


def entry(change: str, account: str, seq: int) -> str:
    return ENTRY.format(change, account, seq)


DAMAGE: dict[str, tuple[str, list[str], list[tuple[str, str, str]]]] = {
    "an amount was changed": (
        "zero-sum",
        [entry("amount = 101", "alice", 1)],
        [("transaction {first} EUR", "0", "1.00")],
    ),
    "a leg was taken away": (
        "zero-sum",
        ["DELETE FROM transaction_entries WHERE account_id = {bob} AND seq = 1"],
        [("transaction {second} EUR", "0", "-40.00")],
    ),
    "a leg was moved to another currency": (
        "zero-sum",
        ["UPDATE accounts SET currency = 'USD' WHERE code = 'alice'"],
        [("transaction {first} EUR", "0", "-100.00"), ("transaction {first} USD", "0", "100.00")],
    ),
    "a balance was raised": (
        "balance",
        ["UPDATE accounts SET balance = 101 WHERE code = 'alice'"],
        [("account alice", "100.00", "101")],
    ),
    "a balance without entries": (
        "balance",
        ["DELETE FROM transaction_entries WHERE account_id = {alice}"],
        [("account alice", "0", "100.00")],
    ),
    "a balance_after was changed": (
        "running-balance",
        [entry("balance_after = 41", "bob", 1)],
        [
            ("account bob seq 1 transaction {second}", "40.00", "41"),
            ("account bob seq 2 transaction {undo}", "26.00", "25.00"),
        ],
    ),
    "a balance_after is no number": (
        "running-balance",
        [
            "ALTER TABLE transaction_entries DROP CONSTRAINT transaction_entries_balance",
            entry("balance_after = 'NaN'", "alice", 1),
        ],
        [("account alice seq 1 transaction {first}", "100.00", "NaN")],
    ),
    "a balance_after of an account that is gone": (
        "running-balance",
        [entry("balance_after = 41", "bob", 2), "DELETE FROM accounts WHERE code = 'bob'"],
        [("account {bob} seq 2 transaction {undo}", "25.00", "41")],
    ),
    "an entry in the middle is gone": (
        "sequence",
        ["DELETE FROM transaction_entries WHERE account_id = {bank} AND seq = 2"],
        [("account bank", "entries 1 to 3", "2 entries from 1 to 3")],
    ),
    "the first entry is gone": (
        "sequence",
        ["DELETE FROM transaction_entries WHERE account_id = {bob} AND seq = 1"],
        [("account bob", "entries 1 to 2", "1 entries from 2 to 2")],
    ),
    "every entry is gone": (
        "sequence",
        ["DELETE FROM transaction_entries WHERE account_id = {alice}"],
        [("account alice", "entries 1 to 1", "none")],
    ),
    "an account stayed behind": (
        "sequence",
        ["UPDATE accounts SET seq = 1 WHERE code = 'bob'"],
        [("account bob", "entries 1 to 1", "2 entries from 1 to 2")],
    ),
    "a balance above its maximum": (
        "limits",
        [NO_LIMIT.format("accounts_max_balance"), "UPDATE accounts SET balance = 501 WHERE code = 'alice'"],
        [("account alice", "0..500", "501")],
    ),
    "a balance below its minimum": (
        "limits",
        [NO_LIMIT.format("accounts_min_balance"), "UPDATE accounts SET balance = -1 WHERE code = 'bob'"],
        [("account bob", "0..", "-1")],
    ),
    "an asset below its minimum": (
        "limits",
        [NO_LIMIT.format("accounts_min_balance"), "UPDATE accounts SET min_balance = 126 WHERE code = 'bank'"],
        [("account bank", "126..", "125.00")],
    ),
    "closed with a balance": (
        "limits",
        [NO_LIMIT.format("accounts_closed_at_zero"), "UPDATE accounts SET status = 'closed' WHERE code = 'bob'"],
        [("account bob", "0..", "25.00")],
    ),
    "too many decimals": (
        "amounts",
        [entry("amount = 100.001", "alice", 1)],
        [("account alice seq 1", "a finite amount with at most 2 decimals", "100.001")],
    ),
    "an amount of zero": (
        "amounts",
        [NO_AMOUNT, entry("amount = 0", "alice", 1)],
        [("account alice seq 1", "a finite amount with at most 2 decimals", "0")],
    ),
    "an amount that is no number": (
        "amounts",
        [NO_AMOUNT, entry("amount = 'NaN'", "bob", 2)],
        [("account bob seq 2", "a finite amount with at most 2 decimals", "NaN")],
    ),
    "an amount without end": (
        "amounts",
        [NO_AMOUNT, entry("amount = '-Infinity'", "bob", 2)],
        [("account bob seq 2", "a finite amount with at most 2 decimals", "-Infinity")],
    ),
    "an exponent changed under an account": (
        "currency",
        ["UPDATE accounts SET exponent = 3 WHERE code = 'alice'"],
        [("account alice", "EUR with 2 decimals", "EUR with 3 decimals")],
    ),
    "a currency that the ledger does not have": (
        "currency",
        ["UPDATE accounts SET currency = 'XXZ' WHERE code = 'alice'"],
        [("account alice", "a currency of the ledger", "XXZ with 2 decimals")],
    ),
    "a receipt that is not there": (
        "receipts",
        ["UPDATE transactions SET import_id = 99 WHERE id = '{first}'"],
        [("transaction {first}", "import 99", "none")],
    ),
    "a reversal that lost its link": (
        "reversal-links",
        [NO_LINK, "UPDATE transactions SET reverses = NULL WHERE id = '{undo}'"],
        [("transaction {undo}", "the only reversal of a transaction", "reversal")],
    ),
    "two reversals of one transaction": (
        "reversal-links",
        [
            "DROP INDEX transactions_reversed_once",
            "UPDATE transactions SET kind = 'reversal', reverses = '{second}' WHERE id = '{first}'",
        ],
        [
            ("transaction {first}", "the only reversal of a transaction", "reversal of {second}"),
            ("transaction {undo}", "the only reversal of a transaction", "reversal of {second}"),
        ],
    ),
    "a transaction is gone": (
        "orphans",
        ["DELETE FROM transactions WHERE id = '{first}'"],
        [
            ("account {bank} seq 1", "transaction {first}", "none"),
            ("account {alice} seq 1", "transaction {first}", "none"),
        ],
    ),
    "an account is gone": (
        "orphans",
        ["DELETE FROM accounts WHERE code = 'alice'"],
        [("account {alice} seq 1", "account {alice}", "none")],
    ),
    "every leg is gone": (
        "empty-transactions",
        ["DELETE FROM transaction_entries WHERE transaction_id = '{first}'"],
        [("transaction {first}", "at least 2 entries", "0 entries")],
    ),
    "one leg is left": (
        "empty-transactions",
        ["DELETE FROM transaction_entries WHERE account_id = {alice}"],
        [("transaction {first}", "at least 2 entries", "1 entries")],
    ),
    "a reversal of another transaction": (
        "reversals",
        ["UPDATE transactions SET reverses = '{first}' WHERE id = '{undo}'"],
        [("transaction {undo}", "the opposite of {first}", "other accounts or amounts")],
    ),
    "a reversal of more than there was": (
        "reversals",
        [
            "UPDATE transaction_entries SET amount = sign(amount) * 41 WHERE transaction_id = '{undo}'",
        ],
        [("transaction {undo}", "the opposite of {second}", "other accounts or amounts")],
    ),
    "a reversal the same way round": (
        "reversals",
        ["UPDATE transaction_entries SET amount = -amount WHERE transaction_id = '{undo}'"],
        [("transaction {undo}", "the opposite of {second}", "other accounts or amounts")],
    ),
    "a reversal of nothing": (
        "reversals",
        ["UPDATE transactions SET reverses = '{none}' WHERE id = '{undo}'"],
        [("transaction {undo}", "the opposite of {none}", "no such transaction")],
    ),
    "a reversal of itself": (
        "reversals",
        ["UPDATE transactions SET reverses = id WHERE id = '{undo}'"],
        [("transaction {undo}", "the opposite of {undo}", "a reversal of a reversal")],
    ),
}
