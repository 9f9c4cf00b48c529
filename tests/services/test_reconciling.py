"""Runs of reconciliation after one another: what is new is verified, and what was verified stays as it was.

Every kind of damage is done to what is new, and to what a run has verified; what a first run finds is tried with the
checks themselves. Then come changes that agree with one another, which no sum and no balance gives away.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Event
from typing import Any

import psycopg
import pytest

from ledgerctl import errors
from ledgerctl.core.findings import Finding
from ledgerctl.core.model import Kind, Leg, Side
from ledgerctl.core.requesting import request
from ledgerctl.db import checks, digests, reports
from ledgerctl.db.connection import Connection
from ledgerctl.ids import uuid7
from ledgerctl.services import accounts, payments, reconciling
from ledgerctl.services.books import Books
from ledgerctl.services.reconciling import Reconciliation
from tests import damage as damages
from tests.damage import DAMAGE, Scene, damage, entry
from tests.services.conftest import Open, count, new, transfer


def run(books: Books, *, full: bool = False, accept: str | None = None) -> Reconciliation:
    return reconciling.run(books, lambda *_: None, full=full, accept=accept)


def clean(books: Books, *, full: bool = False) -> Reconciliation:
    result = run(books, full=full)
    assert result.findings == []
    return result


def pay(books: Books, key: str) -> None:
    """Between accounts that no damage is done to."""
    if not books.database.read(reports.accounts, books.ledger, "left"):
        accounts.create(books, [new("left", floor=None), new("right")])
    payments.post_one(books, transfer("left", "right", "1", key))


@pytest.fixture
def scene(books: Books, conn: Connection) -> Scene:
    return damages.scene(books, conn)


@pytest.fixture
def new_scene(books: Books, conn: Connection) -> Scene:
    """A run verified the accounts before anything was posted."""
    return damages.scene(books, conn, between=lambda: clean(books))


# -- damage ----------------------------------------------------------------------------------------------------------


def places(scene: Scene, case: str) -> set[Finding]:
    check, _, expected = DAMAGE[case]
    return {Finding(check, *(word.format_map(scene.names) for word in finding)) for finding in expected}


NEVER_NEW = {"an account is gone", "a balance_after of an account that is gone", "every leg is gone"}
"""New entries are found by their accounts: those of no account, and the lack of any, are for a full run."""


@pytest.mark.parametrize("case", DAMAGE)
def test_a_run_finds_it_in_what_is_new(new_scene: Scene, case: str) -> None:
    damage(new_scene, *DAMAGE[case][1])

    result = run(new_scene.books)

    assert (result.mode, result.status) == ("incremental", "differences")
    if case not in NEVER_NEW:
        assert places(new_scene, case) <= set(result.findings)


@pytest.mark.parametrize("case", DAMAGE)
def test_a_full_run_finds_it_in_what_was_verified(scene: Scene, case: str) -> None:
    clean(scene.books)
    pay(scene.books, "later")
    clean(scene.books)
    pay(scene.books, "new")
    damage(scene, *DAMAGE[case][1])

    result = run(scene.books, full=True)

    assert (result.mode, result.status) == ("full", "differences")
    named = {(finding.check, finding.subject) for finding in places(scene, case)}
    assert named <= {(finding.check, finding.subject) for finding in result.findings}


FIRST = "UPDATE transactions SET {} WHERE id = '{{first}}'"
AGREED: dict[str, tuple[list[str], set[tuple[str, str]]]] = {
    "a fingerprint": (
        [FIRST.format("fingerprint = sha256('x')")],
        {("fingerprint", "transaction {first}"), ("unchanged", "transaction {first}")},
    ),
    "a description": (
        [FIRST.format("description = 'nothing to see'")],
        {("fingerprint", "transaction {first}"), ("unchanged", "transaction {first}")},
    ),
    "a reference": (
        [FIRST.format("reference = 'R1'")],
        {("fingerprint", "transaction {first}"), ("unchanged", "transaction {first}")},
    ),
    "an effective time": (
        [FIRST.format("effective_at = '2001-01-01'")],
        {("fingerprint", "transaction {first}"), ("unchanged", "transaction {first}")},
    ),
    "metadata": (
        [FIRST.format("""metadata = '{{"a": "b"}}'""")],
        {("fingerprint", "transaction {first}"), ("unchanged", "transaction {first}")},
    ),
    "a kind": (
        [FIRST.format("kind = 'journal'")],
        {("fingerprint", "transaction {first}"), ("unchanged", "transaction {first}")},
    ),
    "a key": ([FIRST.format("idempotency_key = 'another'")], {("unchanged", "transaction {first}")}),
    "a time of posting": (
        [FIRST.format("posted_at = posted_at - interval '1 microsecond'")],
        {("unchanged", "transaction {first}")},
    ),
    "the row of an import": ([FIRST.format("import_row = 7")], {("unchanged", "transaction {first}")}),
    "an account's code": (["UPDATE accounts SET code = 'eve' WHERE code = 'bob'"], {("unchanged", "account eve")}),
    "an account's type": (["UPDATE accounts SET type = 'equity' WHERE code = 'bob'"], {("unchanged", "account bob")}),
    "an account's limit": (
        ["UPDATE accounts SET min_balance = -1000 WHERE code = 'bob'"],
        {("unchanged", "account bob")},
    ),
    "an account's name": (["UPDATE accounts SET name = 'Eve' WHERE code = 'bob'"], {("unchanged", "account bob")}),
    "an account that was never used": (["DELETE FROM accounts WHERE code = 'idle'"], {("unchanged", "accounts")}),
    "both legs, and every balance after them": (
        [
            "UPDATE transaction_entries SET amount = amount * 1.5 WHERE transaction_id = '{first}'",
            "UPDATE transaction_entries SET balance_after = balance_after + 50 WHERE account_id = {alice}",
            "UPDATE transaction_entries SET balance_after = balance_after - 50 WHERE account_id = {bank}",
            "UPDATE accounts SET balance = balance + 50 WHERE code = 'alice'",
            "UPDATE accounts SET balance = balance - 50 WHERE code = 'bank'",
        ],
        {("fingerprint", "transaction {first}"), ("balance", "account alice"), ("unchanged", "entries")},
    ),
    "two entries that changed places": (
        [
            "UPDATE transaction_entries SET transaction_id = CASE account_id WHEN {alice} THEN '{second}'::uuid"
            " ELSE '{first}'::uuid END, amount = 100 WHERE account_id IN ({alice}, {bob}) AND seq = 1",
        ],
        {("fingerprint", "transaction {first}"), ("fingerprint", "transaction {second}"), ("unchanged", "entries")},
    ),
    "two transactions": (
        [FIRST.format("idempotency_key = 'a'"), "UPDATE transactions SET idempotency_key = 'b' WHERE id = '{second}'"],
        {("unchanged", "transactions")},
    ),
    "an account's last transaction, and where it stands": (
        [
            "DELETE FROM transaction_entries WHERE transaction_id = '{undo}'",
            "DELETE FROM transactions WHERE id = '{undo}'",
            "UPDATE accounts SET seq = 1, balance = 40 WHERE code = 'bob'",
            "UPDATE accounts SET seq = 2, balance = -140 WHERE code = 'bank'",
        ],
        {("sequence", "account bob"), ("sequence", "account bank"), ("unchanged", "transactions")},
    ),
}


@pytest.mark.parametrize("case", AGREED)
def test_a_full_run_finds_what_agrees_with_all_the_rest(scene: Scene, case: str) -> None:
    accounts.create(scene.books, [new("idle")])
    clean(scene.books)
    statements, expected = AGREED[case]
    damage(scene, *statements)

    result = run(scene.books, full=True)

    found = {(finding.check, finding.subject) for finding in result.findings}
    assert {(check, subject.format_map(scene.names)) for check, subject in expected} <= found


# left paid right 10, and then 20: damage that a hash which does not see the sign of a number, or takes each column for
# itself, is the same before and after.
BOTH = "UPDATE transaction_entries SET {} WHERE account_id IN ({{left}}, {{right}})"
UNSEEN: dict[str, tuple[list[str], tuple[str, str]]] = {
    "amounts that lead to the opposite of the balance before": (
        [BOTH.format("amount = 2 * amount") + " AND seq = 2"],
        ("running-balance", "account right seq 2 transaction {second}"),
    ),
    "every sign": (
        [
            BOTH.format("amount = -amount, balance_after = -balance_after"),
            "UPDATE accounts SET balance = -balance WHERE id IN ({left}, {right})",
        ],
        ("fingerprint", "transaction {second}"),
    ),
    "two transactions that changed all their entries": (
        [BOTH.format("transaction_id = CASE seq WHEN 1 THEN '{second}'::uuid ELSE '{first}'::uuid END")],
        ("fingerprint", "transaction {first}"),
    ),
    "two accounts that changed names": (
        ["UPDATE accounts SET name = CASE id WHEN {left} THEN 'Right' ELSE 'Left' END WHERE id IN ({left}, {right})"],
        ("unchanged", "accounts"),
    ),
    "a limit on the other side of zero": (
        ["UPDATE accounts SET min_balance = -min_balance WHERE id = {right}"],
        ("unchanged", "account right"),
    ),
    "an upper limit on the other side of zero": (
        ["UPDATE accounts SET max_balance = -max_balance WHERE id = {idle}"],
        ("unchanged", "account idle"),
    ),
    "an empty description": (
        [r"UPDATE transactions SET description = E'\x01' WHERE id = '{first}'"],
        ("unchanged", "transaction {first}"),
    ),
    "a description and a reference that changed places": (
        ["UPDATE transactions SET description = reference, reference = description WHERE id = '{second}'"],
        ("unchanged", "transaction {second}"),
    ),
    "who wrote it": (["UPDATE transactions SET xid8 = '7' WHERE id = '{first}'"], ("unchanged", "transaction {first}")),
}


@pytest.mark.parametrize("case", UNSEEN)
def test_a_full_run_finds_what_a_weaker_hash_would_not_see(books: Books, conn: Connection, case: str) -> None:
    names = {}
    accounts.create(books, [new("left", floor=None), new("right", floor="-30"), new("idle", floor=None)])
    conn.execute("ALTER TABLE accounts DROP CONSTRAINT accounts_max_balance")
    conn.execute("UPDATE accounts SET name = initcap(code), max_balance = 100")
    for name, amount, extras in (("first", "10", {}), ("second", "20", {"description": "one", "reference": "two"})):
        posted = payments.post_one(books, transfer("left", "right", amount, name, **extras))
        names[name] = str(posted.transaction.id)
    names |= {code: str(number) for code, number in conn.execute("SELECT code, id FROM accounts")}
    clean(books)
    statements, expected = UNSEEN[case]
    damage(Scene(conn, books, names), *statements)

    result = run(books, full=True)

    check, subject = expected
    assert (check, subject.format_map(names)) in {(finding.check, finding.subject) for finding in result.findings}


def test_what_two_accounts_are_cannot_change_places_column_by_column(books: Books, conn: Connection) -> None:
    """Modulo 2^64: by which multiples of it the sums of a weaker hash differ is chance."""
    accounts.create(books, [new("left"), new("right")])
    summed = []
    for names in ("'Left' ELSE 'Right'", "'Right' ELSE 'Left'"):
        conn.execute(f"UPDATE accounts SET name = CASE code WHEN 'left' THEN {names} END".encode())
        [[total]] = conn.execute("SELECT sum(account_hash(a)) FROM accounts a").fetchall()
        summed.append(int(total) % 2**64)

    assert summed[0] != summed[1]


@pytest.mark.parametrize(
    "hashed",
    [
        "entry_hash('{uuid}', 1, 7, n, 5)",
        "entry_hash('{uuid}', 1, 7, 5, n)",
        "entry_hash('{uuid}', 1, n, 5, 5)",
    ],
)
def test_a_hash_takes_in_more_than_32_bits(conn: Connection, hashed: str) -> None:
    """Of 300,000 numbers with 32 bits, ten are there twice."""
    query = "SELECT count(DISTINCT {}) FROM generate_series(1, 300000) AS n"

    [[different]] = conn.execute(query.format(hashed.format(uuid=uuid7())).encode()).fetchall()

    assert different == 300_000


def test_there_are_forty_kinds_of_damage_and_more() -> None:
    assert len(DAMAGE) + len(AGREED) >= 40


@pytest.mark.parametrize("case", [case for case, (_, found) in AGREED.items() if "fingerprint" in dict(found)])
def test_a_fingerprint_is_compared_before_anything_was_verified(scene: Scene, case: str) -> None:
    damage(scene, *AGREED[case][0])

    found = {(finding.check, finding.subject) for finding in run(scene.books).findings}

    assert ("fingerprint", f"transaction {scene.names['first']}") in found


# -- runs after one another ------------------------------------------------------------------------------------------


def test_only_what_is_new_is_looked_at(scene: Scene) -> None:
    first = clean(scene.books)
    nothing = clean(scene.books)
    pay(scene.books, "new")
    one = clean(scene.books)
    everything = clean(scene.books, full=True)

    assert (first.mode, first.checked) == ("full", {"accounts": 3, "transactions": 3, "entries": 6})
    assert (nothing.mode, nothing.checked) == ("incremental", {"accounts": 3, "transactions": 0, "entries": 0})
    assert (one.mode, one.checked) == ("incremental", {"accounts": 5, "transactions": 1, "entries": 2})
    assert (everything.mode, everything.checked) == ("full", {"accounts": 5, "transactions": 4, "entries": 8})


def test_what_was_verified_is_not_read_again(scene: Scene) -> None:
    """Which is why there are full runs."""
    clean(scene.books)
    damage(scene, entry("amount = 101", "alice", 1))
    pay(scene.books, "new")

    assert run(scene.books).status == "clean"
    assert run(scene.books, full=True).status == "differences"


def test_much_that_is_new_is_looked_for_in_everything(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which finds damage beside it, and sums nothing anew: what agrees with all the rest is still for a full run."""
    monkeypatch.setattr(reconciling, "_MANY", 0)
    clean(scene.books)
    damage(scene, FIRST_KEY)
    pay(scene.books, "new")
    assert clean(scene.books).checked["entries"] == 2  # a quarter of all

    for key in "abcd":
        pay(scene.books, key)
    much = run(scene.books)
    damage(scene, entry("amount = 101", "alice", 1))
    for key in "efghij":
        pay(scene.books, key)
    found = run(scene.books)

    assert (much.mode, much.checked["entries"], much.findings) == ("incremental", 8, [])
    assert (found.mode, found.checked["entries"], found.status) == ("incremental", 12, "differences")
    assert ("unchanged", "transaction {first}".format_map(scene.names)) in {
        (finding.check, finding.subject) for finding in run(scene.books, full=True).findings
    }


def test_a_finding_is_found_until_it_is_mended(scene: Scene) -> None:
    clean(scene.books)
    pay(scene.books, "new")
    damage(scene, "UPDATE accounts SET balance = balance + 1 WHERE code = 'right'")
    found = run(scene.books).findings
    checkpoints = count(scene.conn, "reconciliation_checkpoints")

    assert [finding.check for finding in found] == ["balance"]
    assert run(scene.books).findings == found
    assert count(scene.conn, "reconciliation_checkpoints") == checkpoints

    damage(scene, "UPDATE accounts SET balance = balance - 1 WHERE code = 'right'")
    assert clean(scene.books).checked["entries"] == 2


def test_a_change_that_is_accepted_is_verified_from_then_on(scene: Scene) -> None:
    clean(scene.books)
    damage(scene, FIRST_KEY)
    assert run(scene.books, full=True).status == "differences"

    accepted = run(scene.books, accept="the bank asked for it, ticket 7")

    assert (accepted.mode, accepted.findings) == ("full", [])
    clean(scene.books, full=True)
    [[detail]] = scene.conn.execute(
        "SELECT detail FROM audit_logs WHERE action = 'reconcile' AND subject = %s", [str(accepted.id)]
    ).fetchall()
    assert detail["accepted"] == "the bank asked for it, ticket 7"


FIRST_KEY = FIRST.format("idempotency_key = 'another'")


def test_what_does_not_add_up_is_not_accepted(scene: Scene) -> None:
    damage(scene, entry("amount = 101", "alice", 1))

    assert run(scene.books, accept="never mind").status == "differences"
    assert digests.stored(scene.conn, scene.books.ledger) == {}


def test_one_run_at_a_time(scene: Scene, open_main: Open) -> None:
    inside, go_on = Event(), Event()

    def wait(done: int, _total: int, _findings: int) -> None:
        if done == 1:
            inside.set()
            assert go_on.wait(20)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(reconciling.run, scene.books, wait)
        assert inside.wait(20)
        with pytest.raises(errors.AlreadyRunning, match=r"process [0-9]+") as second:
            run(open_main())
        go_on.set()
        assert running.result().status == "clean"
    assert second.value.details["holder"]["seconds"] >= 0
    assert count(scene.conn, "reconciliations") == 1


def test_transfers_go_on_meanwhile_and_are_the_next_run_s(scene: Scene, open_main: Open) -> None:
    clean(scene.books)
    pay(scene.books, "before")
    other = open_main()

    def post(done: int, _total: int, _findings: int) -> None:
        pay(other, f"meanwhile {done}")

    result = reconciling.run(scene.books, post, full=True)

    assert (result.findings, result.checked["transactions"]) == ([], 4)
    assert clean(scene.books).checked["transactions"] == len(checks.CHECKS) + 1
    clean(scene.books, full=True)


def test_every_way_to_spell_a_request_fits_its_fingerprint(books: Books) -> None:
    accounts.create(
        books, [new("a", floor=None), new("b"), new("c", floor=None, currency="USD"), new("d", currency="USD")]
    )
    said = 0
    for currency in ("EUR", None):
        for when in (None, "2026-02-03", "2026-02-03T04:05:06.700+05:30", "2026-02-03 04:05", "2026-02-03T04:05:06Z"):
            extras: dict[str, Any] = (
                {"description": "für Zoë", "metadata": {"ü": "1", "a": ""}, "reference": ""} if when else {}
            )
            legs = [Leg("a", Side.DEBIT, Decimal("1.50"), None), Leg("b", Side.CREDIT, Decimal("1.5"), currency)]
            legs += [Leg("c", Side.DEBIT, Decimal(2), None), Leg("d", Side.CREDIT, Decimal("2.00"), "USD")]
            said += 1
            made = request(uuid7(), f"k{said}", Kind.JOURNAL, legs, effective_at=when, **extras)
            posted = payments.post_one(books, made)
            payments.reverse(books, uuid7(), f"r{said}", posted.transaction.id, None, "back")

    legs = [Leg("a", Side.DEBIT, Decimal(1), "EUR"), Leg("b", Side.CREDIT, Decimal(1), None)]
    payments.post_one(books, request(uuid7(), "half", Kind.JOURNAL, legs))
    many = [Leg("a", Side.DEBIT, Decimal(9), "EUR"), *[Leg("b", Side.CREDIT, Decimal(1), None)] * 9]
    payments.post_one(books, request(uuid7(), "many", Kind.JOURNAL, many))

    assert clean(books).checked["transactions"] == 2 * said + 2


def test_an_empty_ledger_is_clean_again_and_again(books: Books) -> None:
    assert [clean(books, full=full).mode for full in (False, False, True)] == ["full", "incremental", "full"]


def test_a_server_that_goes_away_is_told(scene: Scene, conninfo: str) -> None:
    def kill(done: int, _total: int, _findings: int) -> None:
        with psycopg.connect(conninfo, autocommit=True) as conn:
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle in transaction'"
            )

    settings = scene.books.database.settings
    assert settings.retry_attempts > 0
    with pytest.raises(errors.LedgerError) as told:
        reconciling.run(scene.books, kill)
    assert told.value.exit_code in (errors.Exit.UNAVAILABLE, errors.Exit.TRY_AGAIN)
