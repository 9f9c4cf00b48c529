"""Clients at work on a disk whose power is cut again and again, each time on a copy, and a disk that runs full.

python -m tests.faults.cutting 100              # and with --unsafe the control, which must lose
python -m tests.faults.cutting 50 --full-disk
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ledgerctl.db import embedded
from tests.faults import campaign, checkers, evidence, power
from tests.faults.campaign import Plan, Result
from tests.faults.checkers import Case
from tests.faults.client import live
from tests.faults.evidence import Histories
from tests.faults.points import IN_FLIGHT, Board
from tests.faults.power import Disk
from tests.faults.runs import Run
from tests.faults.servers import Server, bank

_NO_RESTART = "restart_after_crash = off\n"
"""A server that starts itself again while its disk is still full may take the death of a process in that moment for one
of the crash before, and wait for the dead for ever (18.6, see docs/reliability.md). The run starts it instead."""
UNSAFE = "fsync = off\nledgerctl.ephemeral = on\n"
CLIENTS = 6
_OF_THE_BOOKS = ("C2", "C3", "C4", "C6", "C7", "C10")
_UNLUCKY = 20
"""So many more cuts, until one strikes while a commit is in flight."""
_RUNNING_S = (0.3, 0.8)
_A_ROUND = 20
"""So many cuts, then a new disk: each cut reads all that was written before it."""


@dataclass
class Total:
    """Of all cuts. `losing` counts those after which something acknowledged was not there."""

    cuts: int = 0
    in_flight: int = 0
    acknowledged: int = 0
    lost: int = 0
    losing: int = 0
    unreadable: list[str] = field(default_factory=list)
    """After these the server did not come up, or not with its tables."""
    violations: list[str] = field(default_factory=list)


def run(cuts: int, settings: str = "", seed: int = 1) -> Total:
    """So many cuts, and more while none struck a commit in flight."""
    total = Total()
    while total.cuts < cuts:
        with tempfile.TemporaryDirectory(prefix="ledgerctl-cuts-") as directory:
            _round(min(cuts, total.cuts + _A_ROUND), Path(directory), settings, seed, total)
        seed += 1
    return total


def _round(until: int, directory: Path, settings: str, seed: int, total: Total) -> None:
    draw = random.Random(seed)
    with power.disk() as disk:
        server = Server(disk.cluster, settings)
        with bank(server, "bank_to_be_cut", 10_000) as conninfo:
            disk.sync()  # the last time that anybody but the server does
            (directory / "histories").mkdir()
            plan = Run(seed, "bank", CLIENTS, 10**9, directory, conninfo)
            board = Board(CLIENTS)
            clients = [campaign.forked(partial(live, plan, board, number, 0)) for number in range(CLIENTS)]
            try:
                while total.cuts < until or (not total.in_flight and total.cuts < until + _UNLUCKY):
                    time.sleep(draw.uniform(*_RUNNING_S))
                    _cut(disk, server, plan, board, total)
            finally:
                campaign.end(clients)
                server.stop()


def _cut(disk: Disk, server: Server, plan: Run, board: Board, total: Total) -> None:
    flying = any(board.slot(number).point in IN_FLIGHT for number in range(CLIENTS))
    with disk.cut(server) as (copy, at):
        told = evidence.histories(plan.histories)
        total.cuts += 1
        total.in_flight += flying
        acknowledged = {
            (attempt.ledger, attempt.told["id"])
            for attempt in told.attempts
            if attempt.result == "posted" and attempt.call.ended is not None and attempt.call.ended < at
        }
        total.acknowledged += len(acknowledged)
        try:
            embedded.start(copy.cluster)
            name = conninfo_to_dict(plan.url)["dbname"]
            books = evidence.books(make_conninfo(embedded.conninfo(copy.cluster), dbname=name))
        except Exception as error:  # what is broken may fail in any way
            total.unreadable.append(f"{type(error).__name__}: {error}")
            total.losing += 1
            total.lost += len(acknowledged)
            return
        finally:
            with suppress(Exception):
                embedded.stop(copy.cluster)
        lost = acknowledged - books.transactions.keys()
        total.lost += len(lost)
        total.losing += bool(lost)
        case = Case(books, Histories([]))
        total.violations += [f"{name}: {said}" for name in _OF_THE_BOOKS for said in checkers.CHECKERS[name](case)]


def fill_up(strikes: int, seed: int = 1) -> Result:
    """A run on a disk that is full now and then."""
    with power.disk(200) as disk:
        server = Server(disk.cluster, _NO_RESTART)
        try:
            return campaign.run(
                server, Plan(seed, "bank", 6, 100_000, ("full disk",), strikes, (0.3, 0.6), money=10_000)
            )
        finally:
            server.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cuts", type=int)
    parser.add_argument("--unsafe", action="store_true")
    parser.add_argument("--full-disk", action="store_true", help="not a cut, but a disk on which nothing is left")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    if chosen.full_disk:
        result = fill_up(chosen.cuts, chosen.seed)
        print(json.dumps({"verdict": result.verdict, **asdict(result)}))
        return 1 if result.violations else 0
    total = run(chosen.cuts, UNSAFE if chosen.unsafe else "", chosen.seed)
    print(json.dumps(asdict(total)))
    return 1 if total.violations or total.lost else 0


if __name__ == "__main__":
    sys.exit(main())
