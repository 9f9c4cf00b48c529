"""Which share of a statement's lines is matched, and how much of it rightly, when one line in ten is not as it was.

The books are made from a statement of invented payments; then one line in ten of the statement is left out, split in
two, put together with its neighbours, or moved by two days. What the rules make of it is compared with the truth. A
line is matched rightly if it goes with its own entries, or with ones of the same day, amount and text, which nobody
could tell from them.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

from ledgerctl.core.matching import Terms, match
from ledgerctl.db.bank_matches import OpenEntry, OpenLine
from ledgerctl.services.bank_reconciling import WINDOW_DAYS, item_of_entry, item_of_line
from tests.benchmarks import harness

SEED = 20_260_101
START, DAYS = date(2026, 1, 1), 90
NAMES = [
    f"{first} {last}" for first in ("Ada", "Bea", "Cyd", "Dan", "Eve") for last in ("Ash", "Birch", "Cedar", "Elm")
]
PRICES = ("9.99", "19.99", "49.00", "120.00")
EVIDENCE = ("references", "texts", "nothing but days and amounts")


@dataclass(frozen=True, slots=True)
class Paid:
    """A line of the statement, and the places of the entries that it tells of."""

    line: OpenLine
    of: tuple[int, ...]


def books(count: int, evidence: str) -> list[OpenEntry]:
    """Payments, a third of which are at one of a few prices."""
    made = []
    for place in range(count):
        on = START + timedelta(place * DAYS // count)
        price = random.choice(PRICES) if place % 3 == 0 else f"{random.randint(100, 50_000)}e-2"
        sign = -1 if place % 5 == 0 else 1
        reference = f"ORDER-{place:06}" if evidence == "references" else None
        description = f"{random.choice(NAMES)} order" if evidence == "texts" else None
        made.append(
            OpenEntry(
                place, UUID(int=place), on, sign * Decimal(price), reference, f"k{place}", description, None, ["x"]
            )
        )
    return made


def statement(entries: Sequence[OpenEntry]) -> list[Paid]:
    """The bank's lines for them, up to two days late."""
    paid = []
    for place, entry in enumerate(entries):
        on = entry.dated_on + timedelta(random.choice((0, 0, 0, 1, 1, 2)))
        text = f"SEPA {(entry.description or '').upper()} THANK YOU" if entry.description else ""
        references = [entry.reference] if entry.reference else []
        paid.append(Paid(OpenLine(place, on, entry.amount, Decimal(0), references, "", text), (place,)))
    return paid


def untouched(paid: list[Paid]) -> list[Paid]:
    return paid


def dropped(paid: list[Paid]) -> list[Paid]:
    return [one for place, one in enumerate(paid) if place % 10 != 3]


def split(paid: list[Paid]) -> list[Paid]:
    found = []
    for place, one in enumerate(paid):
        if place % 10 != 3:
            found.append(one)
            continue
        part = (one.line.amount * random.randint(20, 80) / 100).quantize(Decimal("0.01"))
        found += [_of_amount(one, part), _of_amount(one, one.line.amount - part)]
    return found


def batched(paid: list[Paid]) -> list[Paid]:
    """One line of a batch stands for two to five neighbours, under the bank's own text."""
    found, place = [], 0
    while place < len(paid):
        size = random.randint(2, 5) if place % 10 == 3 else 1
        some = paid[place : place + size]
        place += size
        if len(some) == 1:
            found += some
            continue
        total = sum((one.line.amount for one in some), Decimal(0))
        latest = max(one.line.booked_on for one in some)
        line = some[0].line._replace(amount=total, booked_on=latest, payment_references=[], description="COLLECTION")
        found.append(Paid(line, tuple(entry for one in some for entry in one.of)))
    return found


def shifted(paid: list[Paid]) -> list[Paid]:
    return [
        replace(one, line=one.line._replace(booked_on=one.line.booked_on + timedelta(2))) if place % 10 == 3 else one
        for place, one in enumerate(paid)
    ]


def _of_amount(one: Paid, amount: Decimal) -> Paid:
    return replace(one, line=one.line._replace(amount=amount))


CHANGES: dict[str, Callable[[list[Paid]], list[Paid]]] = {
    "as it is": untouched,
    "one in ten left out": dropped,
    "one in ten split": split,
    "one in ten batched": batched,
    "one in ten two days late": shifted,
}


def measure(count: int, evidence: str, change: str) -> tuple[float, float, float]:
    """Of all lines the share that was matched and that was matched wrongly; and the seconds it took."""
    entries = books(count, evidence)
    paid = CHANGES[change](statement(entries))
    lines = {place: replace(one, line=one.line._replace(id=place)) for place, one in enumerate(paid)}
    terms = Terms(WINDOW_DAYS, START + timedelta(DAYS + WINDOW_DAYS))
    started = time.perf_counter()
    found = match(
        (item_of_line(one.line, 2) for one in lines.values()), (item_of_entry(entry, 2) for entry in entries), terms
    )
    seconds = time.perf_counter() - started
    matched = wrong = 0
    for one in found:
        truth = [entry for line in one.lines for entry in lines[line].of]
        matched += len(one.lines)
        wrong += len(one.lines) * (_looks(entries, one.entries) != _looks(entries, dict.fromkeys(truth)))
    return matched / len(lines), wrong / len(lines), seconds


def _looks(entries: Sequence[OpenEntry], places: Sequence[int] | dict[int, None]) -> list[tuple[object, ...]]:
    return sorted(
        (
            entries[place].dated_on,
            entries[place].amount,
            entries[place].reference or "",
            entries[place].description or "",
        )
        for place in places
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--lines", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    random.seed(SEED)
    rows = []
    for count in asked.lines:
        for evidence in EVIDENCE:
            for change in CHANGES:
                rounds = [measure(count, evidence, change) for _ in range(asked.rounds)]
                matched, wrong, seconds = (statistics.median(column) for column in zip(*rounds, strict=True))
                rows.append([f"{count:,}", evidence, change, f"{matched:.1%}", f"{wrong:.1%}", f"{seconds:.3f}"])
    harness.table(["lines", "known by", "the statement", "matched", "of them wrongly", "seconds"], rows)


if __name__ == "__main__":
    main()
