"""A client of a run: goes through the script, by the program's own services, and writes down what it is told."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from ledgerctl import errors
from ledgerctl.config import Database as Settings
from ledgerctl.core import money, requesting
from ledgerctl.core.model import Kind, Leg, Posted, Refused, Replayed, Request, Side, Transaction
from ledgerctl.db import reports
from ledgerctl.db.connection import Database
from ledgerctl.formats import request_json
from ledgerctl.ids import uuid7
from ledgerctl.services import accounts, payments, reconciling
from ledgerctl.services.books import Books, open_books
from tests.faults import points
from tests.faults.history import Recorder
from tests.faults.points import Board, Slot
from tests.faults.script import Act, Post, Read, Reconcile, Send, SetStatus, acts
from tests.faults.world import OUTSIDE

ROOT = Path(__file__).parent.parent.parent
_BEHIND_S = 0.0005
_COMMAND_S = 120
_REFUSALS = (errors.Exit.USAGE, errors.Exit.REFUSED, errors.Exit.NOT_FOUND, errors.Exit.CONFLICT)
KILLED = (-signal.SIGKILL, -signal.SIGALRM)


@dataclass(frozen=True)
class Run:
    """What a run is made of. `ahead` is how many steps a client may be ahead of the slowest."""

    seed: int
    mix: str
    clients: int
    steps: int
    directory: Path
    url: str
    settings: dict[str, Any] = field(default_factory=dict)
    ahead: int = 40
    by_command_line: int = 0
    """So many of the clients are processes of the command line, one for each request."""

    @property
    def histories(self) -> Path:
        return self.directory / "histories"

    def database(self, application: str) -> Database:
        settings = Settings(url=self.url, **{"deadline_s": 20.0, **self.settings})
        return Database(settings, None, f"ledgerctl {application}")


def live(run: Run, board: Board, number: int, first: int) -> None:
    """All that client `number` has to do from a step on, unless it is told to stop."""
    slot = board.slot(number)
    slot.point = "idle"  # not where the one before it died
    points.watch(slot)
    client: _Library | _CommandLine
    kind = _CommandLine if number < run.by_command_line else _Library
    client = kind(run, f"client-{number}", slot)
    for step in range(first, run.steps):
        slot.step = step
        mine = [act for who, act in acts(run.seed, run.mix, step, run.clients) if who == number]
        if not mine:
            continue
        while step > board.slowest() + run.ahead and not board.stopped:
            time.sleep(_BEHIND_S)
        if board.stopped:
            break
        for act in mine:
            slot.point = "idle"
            client.perform(step, act)
    slot.done = True
    client.close()


class _Library:
    """Calls the services, as the REST API and the commands do."""

    def __init__(self, run: Run, name: str, slot: Slot) -> None:
        self._run = run
        self._slot = slot
        self._name = name
        self._recorder = Recorder(run.histories, name)
        self._database = run.database(name)
        self._open: dict[str, Books] = {}

    def close(self) -> None:
        self._database.close()

    def perform(self, step: int, act: Act) -> None:
        try:
            books = self._books(act.sends[0].ledger if isinstance(act, Post) else act.ledger)
        except errors.LedgerError:
            return  # nothing was asked; the next step tries again
        if isinstance(act, Read):
            self._recorded("read", step, lambda: _balances(books), ledger=act.ledger)
        elif isinstance(act, Reconcile):
            self._recorded("verify", step, lambda: _verified(books), ledger=act.ledger)
        elif isinstance(act, SetStatus):
            change = accounts.freeze if act.action == "freeze" else accounts.unfreeze
            self._recorded(
                act.action, step, lambda: {"done": change(books, act.account)}, ledger=act.ledger, account=act.account
            )
        else:
            self._post(books, step, act.sends)

    def _post(self, books: Books, step: int, sends: Sequence[Send]) -> None:
        requests: list[Request] = []
        asked: list[dict[str, Any]] = []
        for send in sends:
            try:
                request = _request(books, send)
            except errors.DatabaseUnavailable:
                return  # nothing was asked
            except errors.LedgerError as error:  # the door's refusal: nothing was asked of the books
                op = self._recorder.invoke("door", step, sends=[send._asdict()])
                self._recorder.end(op, "ok", results=[{"is": "refused", "reason": error.code}])
                continue
            if request is not None:
                requests.append(request)
                said = [leg.amount for leg in send.legs] or [send.amount or f"{leg.amount:f}" for leg in request.legs]
                asked.append({"ledger": books.name, "said": said, **request_json.dump(request)})
        if not requests:
            return
        single = len(requests) == 1
        answer: Callable[[], dict[str, Any]] = (
            (lambda: {"results": [_receipt(payments.post_one(books, requests[0]))]})
            if single
            else (lambda: {"results": [_outcome(outcome) for outcome in payments.post(books, requests)]})
        )
        self._recorded("post", step, answer, sends=asked)

    def _recorded(self, function: str, step: int, ask: Callable[[], dict[str, Any]], **asked: Any) -> None:
        lost = self._slot.lost
        op = self._recorder.invoke(function, step, **asked)
        try:
            answer = ask()
        except errors.OutcomeUnknown as error:
            self._recorder.end(op, "unknown", code=error.code)
        except errors.LedgerError as error:
            how, told = _ended(error)
            self._recorder.end(op, how, **told)
        except Exception as error:  # nobody was to see it: a checker says so
            self._recorder.end(op, "fail", code=f"BUG {type(error).__name__}: {error}")
        else:
            self._recorder.end(op, "ok", **answer, lost=self._slot.lost - lost)

    def _books(self, ledger: str) -> Books:
        if ledger not in self._open:
            self._open[ledger] = open_books(self._database, ledger, self._name, f"{self._name}-{os.getpid()}")
        return self._open[ledger]


def _verified(books: Books) -> dict[str, Any]:
    """How many transactions a run looked at, and what it found."""
    result = reconciling.run(books, lambda *_: None)
    return {"transactions": result.checked["transactions"], "findings": [list(one) for one in result.findings]}


class _CommandLine(_Library):
    """A process for each transfer; one in two is killed on its way, and leaves its request to `ledgerctl resolve`."""

    def perform(self, step: int, act: Act) -> None:
        if not isinstance(act, Post) or len(act.sends) != 1:
            return
        [send] = act.sends
        if send.undoes or len(send.legs) != 2 or send.ledger != "main":
            return
        draw = random.Random(f"{self._run.seed}:{step}:command")
        failpoint = draw.choice((*points.POINTS[1:], *points.IN_FLIGHT * 6)) if draw.random() < 0.5 else ""
        source, target = send.legs
        words = ["transfer", source.account, target.account, f"{source.amount} {source.currency}", "-i", send.key]
        asked = {"ledger": send.ledger, "failpoint": failpoint, **_worded(send)}
        op = self._recorder.invoke("command", step, sends=[asked])
        done = command(self._run, self._name, [*words, "--reference", send.intent], failpoint)
        if done.returncode in (*KILLED, errors.Exit.OUTCOME_UNKNOWN):
            self._recorder.end(op, "unknown", code=done.returncode)
        elif done.returncode:
            error = json.loads(done.stderr.splitlines()[-1])["error"]
            refused = {"is": "refused", "reason": error["code"]}
            how = "ok" if done.returncode in _REFUSALS else "fail"
            self._recorder.end(op, how, code=error["code"], results=[refused])
        else:
            told = json.loads(done.stdout)
            self._recorder.end(op, "ok", results=[{"is": told["status"], "id": told["transaction_id"]}])


def command(run: Run, name: str, words: Sequence[str], failpoint: str = "") -> subprocess.CompletedProcess[str]:
    """A run of the command line, with a state directory of that client's own."""
    return subprocess.run(
        [sys.executable, "-m", "tests.faults.launch", "-o", "json", *words],
        cwd=ROOT,
        env={
            **os.environ,
            "LEDGERCTL_DATABASE_URL": run.url,
            "LEDGERCTL_STATE_DIRECTORY": str(run.directory / f"state-{name}"),
            points.VARIABLE: failpoint,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=_COMMAND_S,
    )


def _worded(send: Send) -> dict[str, Any]:
    """As `request_json` words it, but for the id, which the process will make."""
    entries = [{"account": leg.account, leg.side: leg.amount, "currency": leg.currency} for leg in send.legs]
    return {
        "transaction_id": None,
        "idempotency_key": send.key,
        "kind": "transfer",
        "entries": entries,
        "said": [leg.amount for leg in send.legs],
        "reference": send.intent,
        "reverses": None,
    }


def _request(books: Books, send: Send) -> Request | None:
    """What the send asks for; None when it reverses what is not there."""
    if send.undoes:
        try:
            original = books.database.read(reports.transaction, books.ledger, send.undoes).id
        except errors.TransactionNotFound:
            return None
        amount = None if send.amount is None else Decimal(send.amount)
        made = payments.reversing(books, uuid7(), send.key, original, amount, "undone")
        return requesting.request(
            made.id, made.key, made.kind, made.legs, reference=send.intent, reverses=made.reverses
        )
    legs = [Leg(leg.account, Side(leg.side), money.parse(leg.amount), leg.currency) for leg in send.legs]
    kind = Kind.TRANSFER if len(legs) == 2 else Kind.JOURNAL
    return requesting.request(uuid7(), send.key, kind, legs, reference=send.intent)


def _ended(error: errors.LedgerError) -> tuple[str, dict[str, Any]]:
    """A rule that said no is an answer like any other; anything else failed, and nothing was changed by it."""
    if error.exit_code in _REFUSALS:
        return "ok", {"results": [{"is": "refused", "reason": error.code, **_whose(error)}]}
    return "fail", {"code": error.code, "words": str(error)}


def _whose(error: errors.LedgerError) -> dict[str, Any]:
    return {name: error.details[name] for name in ("account",) if name in error.details}


def _receipt(receipt: payments.Receipt) -> dict[str, Any]:
    transaction: Transaction = receipt.transaction
    return {
        "is": "replayed" if receipt.replayed else "posted",
        "id": str(transaction.id),
        "posted_at": transaction.posted_at.isoformat(),
        "entries": [[line.account, line.seq, line.amount, line.balance] for line in transaction.lines],
    }


def _outcome(outcome: Posted | Replayed | Refused) -> dict[str, Any]:
    if isinstance(outcome, Refused):
        return {"is": "refused", "reason": str(outcome.reason), "account": outcome.details.get("account")}
    if isinstance(outcome, Replayed):
        own = outcome.known.id == outcome.request.id
        return {"is": "posted" if own else "replayed", "id": str(outcome.known.id)}
    entries = [[entry.account.code, entry.seq, entry.amount, entry.balance] for entry in outcome.entries]
    return {
        "is": "posted",
        "id": str(outcome.request.id),
        "posted_at": outcome.posted_at.isoformat(),
        "entries": entries,
    }


def _balances(books: Books) -> dict[str, Any]:
    rows = books.database.read(reports.accounts, books.ledger)
    return {
        "balances": {
            row["code"]: [str(row["balance"]), row["seq"]] for row in rows if not row["code"].startswith(OUTSIDE)
        }
    }
