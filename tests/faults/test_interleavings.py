"""Two sessions in every order of their statements: right books, and an end that one after the other would have had.

By default, statements that touch nothing shared go with the next one, and of the schedules of an import only one is run
of all that swap independent statements. `--nightly` walks larger trees for minutes, most of them of all statements;
`--release` the largest ones, for hours. With `-n 0 --log-cli-level=INFO` each says how many schedules there were.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from io import BytesIO
from itertools import count
from math import comb, factorial, prod
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

import pytest

from ledgerctl.core import requesting
from ledgerctl.core.model import NewAccount, Request
from ledgerctl.db import connection, journal
from ledgerctl.db.connection import Connection
from ledgerctl.errors import Exit, LedgerError
from ledgerctl.formats.records import Input
from ledgerctl.formats.transfer_csv import TransferFile
from ledgerctl.ids import uuid7
from ledgerctl.services import accounts, import_at_once, importing, payments
from ledgerctl.services.books import Books, open_books
from ledgerctl.services.import_job import Options
from tests.conftest import database_at
from tests.faults import early, interleaved_books
from tests.faults.interleavings import Kind, Run, Session, Tree, independent, never_independent, play

log = logging.getLogger(__name__)

# -- what the sessions do ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Place:
    """The accounts and keys of one schedule, all of them with its prefix."""

    prefix: str
    paid: UUID = field(default_factory=uuid7)
    """The transaction that is there before, in case somebody reverses it."""
    meanwhile: Callable[[int], None] = lambda _done: None
    """Called after each piece of an import, with its number."""

    def of(self, name: str) -> str:
        return f"{self.prefix}{name}"


Call = Callable[[Books, Place], str]
"""One call of a service; in a word, what came of it."""


def transfer(source: str, target: str, amount: str, key: str) -> Call:
    def call(books: Books, place: Place) -> str:
        return _word(payments.post_one(books, _transfer(place, uuid7(), source, target, amount, key)))

    return call


def reverse(key: str, amount: str | None = None) -> Call:
    def call(books: Books, place: Place) -> str:
        part = None if amount is None else Decimal(amount)
        return _word(payments.reverse(books, uuid7(), place.of(key), place.paid, part, None))

    return call


def freeze(code: str) -> Call:
    def call(books: Books, place: Place) -> str:
        accounts.freeze(books, place.of(code))
        return "frozen"

    return call


def close(code: str) -> Call:
    def call(books: Books, place: Place) -> str:
        accounts.close(books, place.of(code))
        return "closed"

    return call


ROWS = [("alice", "bob", "60"), ("bob", "carol", "30"), ("carol", "alice", "10")]


def import_rows(commit_every: int | None = None) -> Call:
    def call(books: Books, place: Place) -> str:
        lines = [f"{place.of(a)},{place.of(b)},{amount},{place.of(f'row {a}')}\n" for a, b, amount in ROWS]
        content = "from,to,amount,idempotency_key\n" + "".join(lines)
        file = TransferFile(Input("in.csv", BytesIO(content.encode())), {}, {})
        numbers = count(1)
        options = Options(commit_every=commit_every)
        receipt = importing.run(books, file, lambda *_: place.meanwhile(next(numbers)), options=options).receipt
        return " ".join(f"{name}={receipt[name]}" for name in ("status", "posted", "replayed", "rejected"))

    return call


def _transfer(place: Place, id_: UUID, source: str, target: str, amount: str, key: str) -> Request:
    return requesting.transfer(id_, place.of(key), place.of(source), place.of(target), Decimal(amount))


def _word(receipt: payments.Receipt) -> str:
    return "replayed" if receipt.replayed else "posted"


_REFUSALS = {Exit.REFUSED, Exit.NOT_FOUND, Exit.CONFLICT}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def told(call: Call, books: Books, place: Place) -> str:
    """What came of it, or the refusal, with all left out that differs from schedule to schedule."""
    try:
        return call(books, place)
    except LedgerError as error:
        if error.exit_code not in _REFUSALS:
            raise
        return f"{error.code}: {_UUID.sub('an id', str(error).replace(place.prefix, ''))}"


class Walk(NamedTuple):
    """Which tree of a scenario is walked."""

    joined: bool
    independent: Callable[[Kind, Kind], bool]


WHOLE = Walk(joined=False, independent=never_independent)
JOINED = Walk(joined=True, independent=never_independent)
REDUCED = Walk(joined=True, independent=independent)


class Scenario(NamedTuple):
    """Two calls, and the accounts that they find."""

    first: Call
    second: Call
    funds: Mapping[str, str]
    least: int
    """So many schedules there are at least."""
    pieces: int = 1
    """In so many transactions, one after the other, the first call moves money."""
    paid: bool = False
    """Whether alice has paid bob 30 before."""
    walk: Walk = JOINED
    nightly: Walk = WHOLE
    release: Walk | None = None


ONE = transfer("alice", "bob", "10", "one")
PAIR = {"alice": "100", "bob": "100"}
TRIO = {**PAIR, "carol": "0"}
SCENARIOS = {
    "transfers that cross": Scenario(ONE, transfer("bob", "alice", "20", "two"), PAIR, 14),
    "transfers that cross, the second with funds from the first": Scenario(
        ONE, transfer("bob", "alice", "10", "two"), {"alice": "10", "bob": "0"}, 11
    ),
    "transfers from one account with funds for one": Scenario(
        ONE, transfer("alice", "carol", "10", "two"), {**TRIO, "alice": "15"}, 14
    ),
    "transfer, and freeze of its source": Scenario(ONE, freeze("alice"), PAIR, 11),
    "transfer, and close of its empty target": Scenario(ONE, close("bob"), {**PAIR, "bob": "0"}, 11),
    "reversed twice": Scenario(reverse("one"), reverse("two"), PAIR, 104, paid=True),
    "reversed in part and whole": Scenario(reverse("one", "10"), reverse("two"), PAIR, 104, paid=True),
    "one key, one payload": Scenario(ONE, ONE, PAIR, 14),
    "one key, two payloads": Scenario(ONE, transfer("alice", "bob", "20", "one"), PAIR, 14),
    "one key, other accounts": Scenario(
        ONE, transfer("carol", "dave", "10", "one"), {**PAIR, "carol": "10", "dave": "0"}, 220
    ),
    "import at once, and a transfer": Scenario(
        import_rows(), transfer("alice", "bob", "50", "one"), TRIO, 30, walk=REDUCED, nightly=JOINED, release=WHOLE
    ),
    "import in pieces, and a transfer": Scenario(
        import_rows(commit_every=2),
        transfer("alice", "bob", "50", "one"),
        TRIO,
        256,
        pieces=2,
        walk=REDUCED,
        nightly=JOINED,
        release=WHOLE,
    ),
}

# -- an arena ---------------------------------------------------------------------------------------------------------


class Ending(NamedTuple):
    """What both were told, and what the books say then."""

    told: list[str]
    books: list[list[tuple[Any, ...]]]


class Found(NamedTuple):
    run: Run
    wrong: list[str]
    ending: Ending


NEVER_MS = 600_000
"""No limit of the program is to come true while a session stands before a statement."""
PLACES = 20


class Arena:
    """Two sessions in a database of their own, and a third connection that looks at them."""

    def __init__(self, conninfo: str, scenario: Scenario, walk: Walk) -> None:
        limits = {"lock_timeout_ms": NEVER_MS, "statement_timeout_ms": NEVER_MS, "idle_timeout_ms": NEVER_MS}
        self.tree = Tree(walk.independent)
        self._scenario = scenario
        self._ground = open_books(database_at(conninfo), "main", "tester", "ground")
        self._conn = interleaved_books.look(conninfo)
        self._sessions = [Session(name, database_at(conninfo, **limits), joined=walk.joined) for name in "AB"]
        self._opened = [open_books(session.database, "main", session.name, "") for session in self._sessions]
        self._places = self._fresh_places()
        self._deadlocks = 0
        self.serial = [self._serially(pieces) for pieces in range(scenario.pieces + 1)]
        """How it ends with B before A, after it, or between two pieces of it."""

    def close(self) -> None:
        for session in self._sessions:
            session.leave()
            session.database.close()
        self._ground.database.close()
        self._conn.close()

    def explore(self) -> Iterator[Found]:
        """Every schedule, with what is wrong with it."""
        for choose in self.tree.walk():
            place = next(self._places)
            calls = [
                partial(told, call, books, place)
                for call, books in zip((self._scenario.first, self._scenario.second), self._books(place), strict=True)
            ]
            run = play(self._sessions, calls, choose, self._conn)
            ending = Ending([ended.result for ended in run.ended], interleaved_books.said(self._conn, place.prefix))
            wrong = [repr(ended.error) for ended in run.ended if ended.error is not None]
            wrong += interleaved_books.damage(self._conn, place.prefix)
            wrong += [] if ending in self.serial else [f"no serial order ends so: {ending}"]
            yield Found(run, wrong + self._deadlocked(), ending)

    def _serially(self, pieces: int) -> Ending:
        """The second call after so many pieces of the first one."""
        place = next(self._places)
        books, others = self._books(place)
        second: list[str] = []

        def meanwhile(piece: int) -> None:
            if piece == pieces:
                second.append(told(self._scenario.second, others, place))

        meanwhile(0)
        place.meanwhile = lambda piece: meanwhile(piece) if piece < self._scenario.pieces else None
        first = told(self._scenario.first, books, place)
        meanwhile(self._scenario.pieces)
        assert interleaved_books.damage(self._conn, place.prefix) == []
        return Ending([first, *second], interleaved_books.said(self._conn, place.prefix))

    def _fresh_places(self) -> Iterator[Place]:
        """Accounts with their funds, made for some schedules at a time."""
        scenario, number = self._scenario, count(1)
        while True:
            places = [Place(f"n{next(number)}:") for _ in range(PLACES)]
            accounts.create(self._ground, [account for place in places for account in _accounts(scenario, place)])
            payments.post(self._ground, [request for place in places for request in _openings(scenario, place)])
            yield from places

    def _books(self, place: Place) -> list[Books]:
        """As each session has them open."""
        return [replace(books, request_id=place.prefix) for books in self._opened]

    def _deadlocked(self) -> list[str]:
        for session in self._sessions:
            session.database.connect().execute("SELECT pg_stat_force_next_flush()")
        before, self._deadlocks = self._deadlocks, interleaved_books.deadlocks(self._conn)
        return ["deadlock"] if self._deadlocks != before else []


def _accounts(scenario: Scenario, place: Place) -> list[NewAccount]:
    floors = {"opening": None, **dict.fromkeys(scenario.funds, Decimal(0))}
    return [
        NewAccount(place.of(name), "liability", "EUR", 2, None, floor, None, None) for name, floor in floors.items()
    ]


def _openings(scenario: Scenario, place: Place) -> list[Request]:
    funds = [(name, amount) for name, amount in scenario.funds.items() if amount != "0"]
    opened = [_transfer(place, uuid7(), "opening", name, amount, f"opening {name}") for name, amount in funds]
    return opened + ([_transfer(place, place.paid, "alice", "bob", "30", "paid")] if scenario.paid else [])


Open = Callable[[Scenario, Walk], Arena]


@pytest.fixture
def arena(conninfo: str) -> Iterator[Open]:
    with ExitStack() as opened:

        def open_(scenario: Scenario, walk: Walk) -> Arena:
            made = Arena(conninfo, scenario, walk)
            opened.callback(made.close)
            return made

        yield open_


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row is a batch, and whoever tries again does so at once."""
    monkeypatch.setattr(import_at_once, "CHUNK", 1)
    monkeypatch.setattr(import_at_once, "BATCH", 1)
    monkeypatch.setattr(connection, "_WAIT_MIN_S", 0)
    monkeypatch.setattr(connection, "_WAIT_MAX_S", 0)


# -- all schedules ----------------------------------------------------------------------------------------------------

LONG = pytest.mark.timeout(12 * 3600)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_schedule_ends_as_a_serial_one(name: str, arena: Open) -> None:
    scenario = SCENARIOS[name]

    assert walked(arena(scenario, scenario.walk)) >= scenario.least


@LONG
@pytest.mark.parametrize(
    ("option", "name"),
    [("nightly", name) for name in SCENARIOS] + [("release", name) for name in SCENARIOS if SCENARIOS[name].release],
)
def test_every_schedule_of_a_larger_tree_ends_as_a_serial_one(
    option: str, name: str, arena: Open, request: pytest.FixtureRequest
) -> None:
    if not request.config.getoption(option):
        pytest.skip(f"for --{option}")
    scenario = SCENARIOS[name]

    assert walked(arena(scenario, getattr(scenario, option))) > scenario.least


def walked(arena: Arena) -> int:
    """Nothing is wrong in any schedule, and each of the serial ends is reached; how many schedules there are."""
    reached: list[Ending] = []
    steps: Counter[str] = Counter()
    for found in arena.explore():
        assert found.wrong == [], found.run
        reached += [found.ending] if found.ending not in reached else []
        steps |= Counter(step.session for step in found.run.steps)

    assert all(ending in reached for ending in arena.serial)
    log.info("%d schedules, of at most %d + %d steps", arena.tree.schedules, steps["A"], steps["B"])
    return arena.tree.schedules


# -- and these are all that there are ---------------------------------------------------------------------------------


APART = {"alice": "10", "bob": "0", "carol": "10", "dave": "0"}
FREEZES = Scenario(freeze("alice"), freeze("bob"), APART, 0)
TRANSFERS = Scenario(ONE, transfer("carol", "dave", "10", "two"), APART, 0)


@pytest.mark.parametrize(
    ("walk", "m", "n", "scenario", "option"),
    [
        (JOINED, 4, 4, FREEZES, ""),
        (JOINED, 7, 4, Scenario(ONE, freeze("carol"), APART, 0), ""),
        pytest.param(WHOLE, 6, 6, FREEZES, "nightly", marks=LONG),
        pytest.param(JOINED, 7, 7, TRANSFERS, "nightly", marks=LONG),
        pytest.param(WHOLE, 10, 10, TRANSFERS, "release", marks=LONG),
    ],
)
def test_sessions_without_conflict_have_all_interleavings(
    walk: Walk, m: int, n: int, scenario: Scenario, option: str, arena: Open, request: pytest.FixtureRequest
) -> None:
    if option and not request.config.getoption(option):
        pytest.skip(f"for --{option}")
    apart = arena(scenario, walk)

    for found in apart.explore():
        assert found.wrong == [], found.run
        assert Counter(step.session for step in found.run.steps) == {"A": m, "B": n}
        assert not any(step.waited for step in found.run.steps)

    assert apart.tree.schedules == comb(m + n, m)


LOOK, LOG, WRITE, END = Kind.LOOK, Kind.LOG, Kind.WRITE, Kind.END
Program = Sequence[Kind]
Schedule = list[tuple[str, int]]
"""Session by session, which of its statements."""


def schedules(tree: Tree, programs: Mapping[str, Program]) -> list[Schedule]:
    """Those that a tree has for sessions that never wait and whose statements are all known."""
    found = []
    for choose in tree.walk():
        done: Schedule = []
        while left := {name: program for name, program in rest(programs, done).items() if program}:
            name = choose({name: program[0] for name, program in left.items()})
            done.append((name, len(programs[name]) - len(left[name])))
        found.append(done)
    return found


def rest(programs: Mapping[str, Program], done: Schedule) -> dict[str, Program]:
    taken = Counter(name for name, _ in done)
    return {name: program[taken[name] :] for name, program in programs.items()}


def trace(schedule: Schedule, programs: Mapping[str, Program]) -> frozenset[tuple[tuple[str, int], tuple[str, int]]]:
    """In which order its dependent statements stand: the same for schedules that only swap independent ones."""
    return frozenset(
        (one, other)
        for place, one in enumerate(schedule)
        for other in schedule[place + 1 :]
        if one[0] != other[0] and not independent(programs[one[0]][one[1]], programs[other[0]][other[1]])
    )


TRANSFER = [WRITE, LOOK, WRITE, WRITE, WRITE, LOG, END]
PROGRAMS: list[dict[str, Program]] = [
    {"A": TRANSFER, "B": [WRITE, WRITE, LOG, END]},
    {"A": [LOOK, *TRANSFER], "B": [LOOK, WRITE, LOOK, END, LOOK]},
    {"A": [LOG, LOOK, LOG], "B": [LOOK, LOG, LOOK, LOG]},
    {"A": [WRITE, END], "B": [LOOK, END, LOOK], "C": [LOOK, WRITE, LOG]},
]


@pytest.mark.parametrize("programs", PROGRAMS)
def test_the_reduced_tree_has_one_schedule_of_each_kind(programs: dict[str, Program]) -> None:
    whole, reduced = Tree(never_independent), Tree()
    sizes = [len(program) for program in programs.values()]

    every = schedules(whole, programs)
    kept = schedules(reduced, programs)

    assert whole.schedules == len(every) == factorial(sum(sizes)) // prod(map(factorial, sizes))
    kinds = {trace(schedule, programs) for schedule in every}
    assert {trace(schedule, programs) for schedule in kept} == kinds
    assert reduced.schedules == len(kinds)


# -- planted bugs: each must be seen ----------------------------------------------------------------------------------


class Planted(NamedTuple):
    """A bug, where it shows, what must be taken from the database for it to show, and by what it is seen."""

    gather: early.Gather
    scenario: str
    without: LiteralString
    seen_by: str


NO_CHECKS = """
    ALTER TABLE transaction_entries DISABLE TRIGGER transaction_entries_check;
    ALTER TABLE accounts DISABLE TRIGGER accounts_check_update
"""
NO_KEY_INDEX = "DROP INDEX transactions_idempotency_key"
NO_REVERSAL_INDEX = "DROP INDEX transactions_reversed_once"
PLANTED = [
    Planted(early.balance_before_the_lock, "transfers that cross", "", "does not follow the one before it"),
    Planted(early.balance_before_the_lock, "transfers that cross", NO_CHECKS, "balance_after does not run"),
    Planted(early.status_before_the_lock, "transfer, and freeze of its source", "", "posted after account freeze"),
    Planted(early.status_before_the_lock, "transfer, and close of its empty target", "", "accounts_closed_at_zero"),
    Planted(early.key_before_the_lock, "one key, one payload", NO_KEY_INDEX, "key used twice"),
    Planted(early.key_before_the_lock, "one key, two payloads", NO_KEY_INDEX, "key used twice"),
    Planted(early.reversal_before_the_lock, "reversed twice", NO_REVERSAL_INDEX, "reversed twice"),
    Planted(early.locks_in_the_order_of_the_request, "transfers that cross", "", "deadlock"),
]


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: f"{planted.gather.__name__}: {planted.seen_by}")
def test_a_planted_bug_is_seen(
    planted: Planted, arena: Open, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = arena(SCENARIOS[planted.scenario], REDUCED)
    conn.execute(planted.without)
    monkeypatch.setattr(journal, "gather", planted.gather)

    # Not all of them: whom the server lets go in a deadlock is not always the same.
    first = next(found.wrong for found in opened.explore() if found.wrong)

    assert planted.seen_by in "\n".join(first)


@pytest.mark.parametrize(
    ("planted", "name"),
    [(early.key_before_the_lock, "one key, one payload"), (early.reversal_before_the_lock, "reversed twice")],
)
def test_what_the_look_up_missed_the_index_refuses_and_the_next_attempt_sees(
    planted: early.Gather, name: str, arena: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = arena(SCENARIOS[name], REDUCED)
    monkeypatch.setattr(journal, "gather", planted)

    found = list(opened.explore())

    assert [wrong for one in found for wrong in one.wrong] == []
    assert any(step.statement.words == "ROLLBACK" for one in found for step in one.run.steps)
