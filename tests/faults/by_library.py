"""A client that calls the program's own services, and writes down what it is told."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from ledgerctl import errors
from ledgerctl.core import money, requesting
from ledgerctl.core.model import Kind, Leg, Posted, Refused, Replayed, Request, Side, Transaction
from ledgerctl.db import reports
from ledgerctl.formats import request_json
from ledgerctl.ids import uuid7
from ledgerctl.services import accounts, payments, reconciling
from ledgerctl.services.books import Books, open_books
from tests.faults.history import Recorder
from tests.faults.points import Slot
from tests.faults.runs import Run
from tests.faults.script import Act, Post, Read, Reconcile, Send, SetStatus
from tests.faults.world import OUTSIDE

REFUSALS = (errors.Exit.USAGE, errors.Exit.REFUSED, errors.Exit.NOT_FOUND, errors.Exit.CONFLICT)


class Library:
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
                request = requested(books, send)
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


def requested(books: Books | None, send: Send) -> Request | None:
    """What the send asks for; None when it reverses what is not there. Only a reversal needs the books for it."""
    if send.undoes:
        assert books is not None
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
    if error.exit_code in REFUSALS:
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
