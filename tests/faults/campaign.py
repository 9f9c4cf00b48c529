"""One run: a bank, clients that go through a script, faults while they work; then all is settled and checked.

    python -m tests.faults.campaign --seed 7 --mix bank --faults "kill client,kill server" --strikes 20

prints one JSON object: what was counted, and every violation. Exit 1 when there is one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg

from ledgerctl import errors
from ledgerctl.core import requesting
from ledgerctl.core.model import Request
from ledgerctl.db import reports
from ledgerctl.formats import request_json
from ledgerctl.ids import uuid7
from ledgerctl.services import accounts, payments, reconciling
from ledgerctl.services.books import Books, open_books
from tests.faults import evidence, points
from tests.faults.apis import Apis, ports
from tests.faults.by_command import KILLED, command
from tests.faults.checkers import Case, violations
from tests.faults.client import live
from tests.faults.evidence import Attempt
from tests.faults.history import Recorder, last_step
from tests.faults.http_line import reserve
from tests.faults.nemesis import CRASHES, FAULTS, Victims
from tests.faults.points import IN_FLIGHT, Board
from tests.faults.proxy import Proxy
from tests.faults.runs import Run
from tests.faults.servers import Server, bank
from tests.faults.world import BANKS, LEDGERS, TOTAL

PATIENCE_S = 300
"""So long a run may take after its last fault; whoever hangs longer is a finding."""


@dataclass(frozen=True)
class Plan:
    """What a run is to be. `strikes` faults, drawn from `faults`, `gap_s` apart; without faults, all `steps`."""

    seed: int
    mix: str = "bank"
    clients: int = 6
    steps: int = 2000
    faults: tuple[str, ...] = ()
    strikes: int = 0
    gap_s: tuple[float, float] = (0.05, 0.4)
    wire: tuple[str, ...] = ()
    """What the wire does to COMMITs, see `proxy`; each in `wire_rate` of them."""
    wire_rate: float = 0.05
    by_command_line: int = 0
    command_share: float = 1.0
    by_http: int = 0
    apis: int = 2
    """Processes of the REST API, where clients ask it."""
    settings: dict[str, Any] = field(default_factory=dict)
    ahead: int = 40
    money: int = TOTAL


@dataclass(frozen=True)
class Result:
    """What came of it. `verdict` is `violated`, `sound`, or `unknown` when no fault struck a commit in flight."""

    counts: dict[str, int]
    violations: dict[str, list[str]]

    @property
    def verdict(self) -> str:
        if self.violations:
            return "violated"
        faults = any(name.startswith(("fault ", "wire ")) for name in self.counts)
        return "unknown" if faults and not self.counts.get("in flight") else "sound"


@dataclass(frozen=True)
class Sabotage:
    """A bug: what is done to the bank before clients start, given its conninfo, and to each process that posts."""

    to_bank: Callable[[str], None] = lambda _conninfo: None
    to_client: Callable[[], None] = lambda: None
    to_api: str = ""
    """The number of the planted bug that each process of the REST API has."""


def run(server: Server, plan: Plan, sabotage: Sabotage = Sabotage()) -> Result:
    """A bank of its own on the server, run as planned."""
    directory = Path(tempfile.mkdtemp(prefix="ledgerctl-faults-"))
    try:
        with bank(server, f"bank_{uuid7().hex[:16]}", plan.money) as conninfo, _reserved(plan) as listening:
            sabotage.to_bank(conninfo)
            run = Run(
                plan.seed, plan.mix, plan.clients, plan.steps, directory, conninfo, plan.settings, plan.ahead,
                plan.by_command_line, plan.command_share, plan.by_http, listening,
            )  # fmt: skip
            return _run(server, plan, run, sabotage)
    finally:
        shutil.rmtree(directory)


@contextmanager
def _reserved(plan: Plan) -> Iterator[tuple[int, ...]]:
    """The ports of the REST API, where clients ask it."""
    with ExitStack() as stack:
        yield ports([stack.enter_context(reserve()) for _ in range(plan.apis if plan.by_http else 0)])


def _run(server: Server, plan: Plan, direct: Run, sabotage: Sabotage) -> Result:
    direct.histories.mkdir()
    counts: Counter[str] = Counter()
    with _wire(plan, direct, counts) as through:
        _work(server, plan, through, direct.url, counts, sabotage)
    _settle(direct)
    _finish(direct, counts["deadlocks"])
    books = evidence.books(direct.url)
    told = evidence.histories(direct.histories, books)
    case = Case(books, told, plan.money, steady="step clock" not in plan.faults)
    _count(case, counts)
    return Result(dict(sorted(counts.items())), violations(case))


@contextmanager
def _wire(plan: Plan, direct: Run, counts: Counter[str]) -> Iterator[Run]:
    """The run as its clients see it: with something between them and the server, if that is planned."""
    if not plan.wire:
        yield direct
        return
    with Proxy(direct.url, direct.directory, plan.wire, plan.wire_rate, plan.seed) as proxy:
        yield replace(direct, url=proxy.conninfo)
    for name, fired in proxy.fired().items():
        counts[f"wire {name}"] += fired
        counts["in flight"] += fired if name != "slow" else 0


# -- the clients and what is done to them ----------------------------------------------------------------------------


def _work(server: Server, plan: Plan, run: Run, direct: str, counts: Counter[str], sabotage: Sabotage) -> None:
    board = Board(plan.clients, len(run.ports), run.directory / "board")
    clients: dict[int, int] = {}
    apis = Apis(run, board, plan.settings, sabotage.to_api) if run.ports else None

    def start(number: int, failpoint: str) -> None:
        first = last_step(run.histories, f"client-{number}") + 1

        def work() -> None:
            sabotage.to_client()
            live(run, board, number, first)

        clients[number] = forked(work, failpoint)

    draw = random.Random(plan.seed)
    victims = Victims(server, direct, board, clients, plan.by_command_line, apis, draw, start)
    try:
        if apis is not None:
            apis.wait()
        for number in range(plan.clients):
            start(number, "")
        while clients and (not plan.faults or counts["strikes"] < plan.strikes):
            if not plan.faults:
                time.sleep(0.02)
            else:
                time.sleep(victims.draw.uniform(*plan.gap_s))
                _strike(plan, victims, counts)
            _reap(clients)
        board.stop()
        deadline = time.monotonic() + PATIENCE_S
        while clients and time.monotonic() < deadline:
            _reap(clients)
            time.sleep(0.01)
        if clients:
            raise TimeoutError(f"clients {sorted(clients)} hang at {[board.slot(one).point for one in clients]}")
        if apis is not None:
            apis.stop()
    finally:
        end(clients.values())
        if apis is not None:
            apis.kill()
    counts["answers to COMMIT lost"] += board.lost()
    counts["deadlocks"] += board.deadlocks()


def _strike(plan: Plan, victims: Victims, counts: Counter[str]) -> None:
    _reap(victims.clients)
    if not victims.clients:
        return
    name = victims.draw.choice(plan.faults)
    in_flight = FAULTS[name](victims)
    if in_flight is None:
        return
    counts[f"fault {name}"] += 1
    counts[f"fault {name}, in flight"] += in_flight
    counts["strikes"] += 1
    counts["in flight"] += in_flight
    if name in CRASHES:
        counts["crashes"] += 1
        counts["crashes in flight"] += in_flight


def forked(work: Callable[[], None], failpoint: str = "") -> int:
    """A process of its own, at the price of a fork; its id."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # of a caller's handler, such as pytest's, nothing comes along
        os.environ[points.VARIABLE] = failpoint
        work()
        code = 0
    except BaseException:  # a child must not run on in its parent's code
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def end(pids: Iterable[int]) -> None:
    """They are gone when this returns."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _reap(clients: dict[int, int]) -> None:
    for number, pid in list(clients.items()):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            del clients[number]
            if status:
                raise ChildProcessError(f"client {number} ended with status {status}")


# -- when the faults are over ----------------------------------------------------------------------------------------


def _settle(run: Run) -> None:
    """Ask what became of every request whose outcome nobody knows: by its key, or by `ledgerctl resolve`."""
    recorder = Recorder(run.histories, "resolver")
    told = evidence.histories(run.histories)
    database = run.database("resolver")
    for attempt in told.attempts:
        call = attempt.call
        if attempt.result != "unknown" or call.function == "command":
            continue
        op = recorder.invoke("settle", 0, client=call.client, of=call.op, part=attempt.part)
        books = open_books(database, attempt.ledger, "resolver", "resolver")
        recorder.end(op, "ok", found=_found(books, _request(attempt)))
    database.close()
    for number in range(run.by_command_line):
        name = f"client-{number}"
        op = recorder.invoke("resolve", 0, client=name)
        done = command(run, name, ["resolve"])
        answers = json.loads(done.stdout) if done.stdout else []
        statuses = [(one["idempotency_key"], one["status"]) for one in answers]
        recorder.end(op, "ok", statuses=statuses, code=done.returncode)


def _found(books: Books, request: Request) -> str | None:
    try:
        transaction = payments.settled(books, request)
    except errors.IdempotencyConflict:
        return None
    return None if transaction is None else str(transaction.id)


def _request(attempt: Attempt) -> Request:
    asked = attempt.call.asked["sends"][attempt.part]
    return request_json.load({**asked, "transaction_id": asked["transaction_id"] or str(uuid7())})


def _finish(run: Run, deadlocks: int) -> None:
    """Accounts active again, a transfer by the ordinary way, no lock left, and the program's own reconciliation."""
    recorder = Recorder(run.histories, "finisher")
    database = run.database("finisher")
    for ledger in LEDGERS:
        books = open_books(database, ledger, "finisher", "finisher")
        for place in (place for one in BANKS for place in one if place.ledger == ledger):
            accounts.unfreeze(books, place.code)
    books = open_books(database, "main", "finisher", "finisher")
    rows = database.read(reports.accounts, books.ledger, "bank")
    rows.sort(key=lambda row: row["balance"] if row["balance"].is_finite() else 0)
    richest, poorest, currency = rows[-1]["code"], rows[0]["code"], rows[0]["currency"]
    op = recorder.invoke("liveness", 0)
    try:
        for number, (source, target) in enumerate(((richest, poorest), (poorest, richest))):
            key = f"alive {run.seed} {number}"
            payments.post_one(books, requesting.transfer(uuid7(), key, source, target, Decimal(1), currency))
        recorder.end(op, "ok", deadlocks=deadlocks, open=_open_transactions(run.url))
    except Exception as error:  # books that are damaged may stop it in any way
        recorder.end(op, "fail", code=f"{type(error).__name__}: {error}")
    for ledger in LEDGERS:
        books = open_books(database, ledger, "finisher", "finisher")
        for full in (False, True):
            op = recorder.invoke("reconcile", 0, ledger=ledger, full=full)
            found = reconciling.run(books, lambda *_: None, full=full)
            findings = [list(finding) for finding in found.findings]
            recorder.end(op, "ok", transactions=found.checked["transactions"], findings=findings)
    database.close()


def _open_transactions(conninfo: str) -> int:
    """Of other sessions, and prepared ones."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        row = conn.execute(
            "SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid())"
            " + (SELECT count(*) FROM pg_prepared_xacts)"
        ).fetchone()
    return int(row[0]) if row else 0


# -- what was counted ------------------------------------------------------------------------------------------------


def _count(case: Case, counts: Counter[str]) -> None:
    for attempt in case.told.attempts:
        counts[attempt.result] += 1
        failpoint = attempt.call.asked["sends"][attempt.part].get("failpoint", "")
        if failpoint and attempt.call.told.get("code") in KILLED:
            flying = failpoint in IN_FLIGHT
            for name in ("fault kill command", "crashes"):
                counts[name] += 1
            for name in ("fault kill command, in flight", "crashes in flight", "in flight"):
                counts[name] += flying
        if attempt.call.function == "http":
            _count_http(attempt, counts)
    counts["by http"] = len(case.told.named("http"))
    counts["commands"] = len(case.told.named("command"))
    counts["reads"] = sum(call.how == "ok" for call in case.told.named("read"))
    counts["transactions"] = len(case.books.transactions)
    counts["races"] = _races(case)


def _count_http(attempt: Attempt, counts: Counter[str]) -> None:
    counts["http posted"] += attempt.result == "posted"
    code = attempt.call.told.get("code")
    for name, ended in (("http lost", "LOST"), ("http hung up", "HUNG_UP")):
        counts[name] += code == ended
        counts[f"{name}, posted"] += code == ended and attempt.id is not None


def _races(case: Case) -> int:
    """Keys that two or more clients were asking for at the same time."""
    spans: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for attempt in case.told.attempts:
        if len(attempt.call.asked["sends"]) > 1:
            continue
        ended = attempt.call.ended or attempt.call.invoked
        spans.setdefault((attempt.ledger, attempt.key), []).append((attempt.call.invoked, ended))
    return sum(_overlap(sorted(times)) for times in spans.values())


def _overlap(times: list[tuple[int, int]]) -> bool:
    return any(later[0] < earlier[1] for earlier, later in pairwise(times))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mix", default="bank")
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--faults", default="")
    parser.add_argument("--strikes", type=int, default=0)
    parser.add_argument("--wire", default="")
    parser.add_argument("--wire-rate", type=float, default=0.05)
    parser.add_argument("--by-command-line", type=int, default=0)
    parser.add_argument("--command-share", type=float, default=1.0)
    parser.add_argument("--by-http", type=int, default=0)
    parser.add_argument("--apis", type=int, default=2)
    parser.add_argument("--ahead", type=int, default=40)
    parser.add_argument("--money", type=int, default=TOTAL)
    chosen = vars(parser.parse_args(arguments))
    for name in ("faults", "wire"):
        chosen[name] = tuple(word.strip() for word in chosen[name].split(",") if word)
    started = time.monotonic()
    with server() as one:
        result = run(one, Plan(**chosen))
    seconds = round(time.monotonic() - started, 1)
    shown = {name: [*said[:3], f"{len(said)} in all"] for name, said in result.violations.items()}
    print(
        json.dumps(
            {"verdict": result.verdict, "seconds": seconds, "counts": result.counts, "violations": shown}, indent=1
        )
    )
    return 1 if result.violations else 0


@contextmanager
def server(settings: str = "") -> Iterator[Server]:
    """A durable server in a directory of its own, gone at the end."""
    directory = Path(tempfile.mkdtemp(prefix="ledgerctl-server-"))
    directory.chmod(0o711)  # its own user passes through
    made = Server(directory / "server", settings)
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(directory)


if __name__ == "__main__":
    sys.exit(main())
