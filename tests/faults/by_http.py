"""A client that asks the REST API for transfers, lists of them, reversals and balances; for the rest, the services.

What it was not told it asks again, under the same key, as clients do. Now and then it hangs up, and asks later, or not
at all.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from ledgerctl import errors
from ledgerctl.core import requesting
from ledgerctl.core.model import Request
from ledgerctl.formats import request_json
from tests.faults.by_library import REFUSALS, Library, requested
from tests.faults.history import request_id
from tests.faults.http_line import Answer, Caller, Lost, NotSent, Question
from tests.faults.points import Slot
from tests.faults.runs import Run
from tests.faults.script import Act, Post, Read, Send
from tests.faults.world import BANKS, EXPONENTS

_HANGS_UP = 0.03
_ASKS_AGAIN = 0.7
_AGAIN_MAX = 4
_LATER = 0.2
"""So likely is it, at each step, that what was left open is asked again."""


class _Sending(NamedTuple):
    """What is sent, and as what it is written down: `function` is `http`, or `door` for what must be refused there."""

    function: str
    path: str
    ledger: str
    key: str
    body: dict[str, Any]
    sends: list[dict[str, Any]]
    mode: str = ""
    """Of a list."""


class Http(Library):
    def __init__(self, run: Run, name: str, slot: Slot) -> None:
        super().__init__(run, name, slot)
        self._caller = Caller(run, name)
        self._draw = random.Random(f"{run.seed}:{name}")
        self._open_ended: list[_Sending] = []

    def close(self) -> None:
        self._caller.close()
        super().close()

    def perform(self, step: int, act: Act) -> None:
        self._draw.seed(f"{self._run.seed}:{step}:{self._name}")
        if self._open_ended and self._draw.random() < _LATER:
            self._tried(step, self._open_ended.pop())
        if isinstance(act, Read):
            self._balance(step, act.ledger)
        elif isinstance(act, Post) and all(send.undoes or len(send.legs) == 2 for send in act.sends):
            self._send(step, act.sends)
        else:
            super().perform(step, act)

    def _balance(self, step: int, ledger: str) -> None:
        code = self._draw.choice([place.code for bank in BANKS for place in bank if place.ledger == ledger])
        op = self._recorder.invoke("balance", step, ledger=ledger, account=code)
        try:
            answer = self._caller.ask(Question("GET", f"/accounts/{code}/balance", ledger, {}, None), self._ports())
        except (NotSent, Lost):
            self._recorder.end(op, "unknown")
            return
        if answer.status == 200:
            self._recorder.end(op, "ok", balances={code: [answer.body["balance"], answer.body["seq"]]})
        else:
            self._recorder.end(op, "fail", code=answer.body["code"])

    def _send(self, step: int, sends: Sequence[Send]) -> None:
        sending = self._worded(sends)
        for _ in range(_AGAIN_MAX):
            if sending is None or self._tried(step, sending):
                return
            if self._draw.random() > _ASKS_AGAIN:
                self._open_ended.append(sending)
                return

    def _tried(self, step: int, sending: _Sending) -> bool:
        """Whether it has an answer that stands."""
        op = self._recorder.invoke(sending.function, step, sends=sending.sends, mode=sending.mode)
        headers = {"Idempotency-Key": sending.key, "X-Request-Id": request_id(self._name, op)}
        question = Question("POST", sending.path, sending.ledger, headers, sending.body)
        hangs_up = self._draw.random() < _HANGS_UP
        try:
            if hangs_up:
                self._caller.hang_up(question, self._ports(), self._draw)
            answer = self._caller.ask(question, self._ports())
        except NotSent:
            self._recorder.end(op, "fail", code="NOT_SENT")
            return False
        except Lost as lost:
            self._recorder.end(op, "unknown", code="HUNG_UP" if hangs_up else "LOST", words=str(lost))
            return False
        how, told = _told(answer, sending)
        self._recorder.end(op, how, **told)
        return how == "ok"

    def _ports(self) -> list[int]:
        """In the order in which they are tried."""
        return self._draw.sample(self._run.ports, len(self._run.ports))

    # -- in the API's words ------------------------------------------------------------------------------------------

    def _worded(self, sends: Sequence[Send]) -> _Sending | None:
        """None where it reverses what is not there, or cannot find out."""
        ledger = sends[0].ledger
        if len(sends) > 1:
            mode = self._draw.choice(("all", "each"))
            listed = [{**_body(send), "idempotency_key": send.key} for send in sends]
            body = {"transfers": listed, **({"mode": mode} if mode == "each" else {})}
            written = [_written(send, requested(None, send)) for send in sends]
            return _Sending("http", "/transfers", ledger, f"list {sends[0].key}", body, written, mode)
        [send] = sends
        if send.undoes:
            return self._reversal(send)
        try:
            written = [_written(send, requested(None, send))]
        except errors.BadAmount:
            return _Sending("door", "/transfers", ledger, send.key, _body(send), [send._asdict()])
        return _Sending("http", "/transfers", ledger, send.key, _body(send), written)

    def _reversal(self, send: Send) -> _Sending | None:
        try:
            found = requested(self._books(send.ledger), send)
        except errors.LedgerError:
            return None
        if found is None:
            return None
        # No route takes a reference for it.
        request = requesting.request(found.id, found.key, found.kind, found.legs, reverses=found.reverses)
        body = {} if send.amount is None else {"amount": send.amount}
        path = f"/transactions/{found.reverses}/reverse"
        return _Sending("http", path, send.ledger, send.key, body, [_written(send, request)])


def _body(send: Send) -> dict[str, Any]:
    source, target = send.legs
    return {
        "from": source.account, "to": target.account, "amount": source.amount, "currency": source.currency,
        "reference": send.intent,
    }  # fmt: skip


def _written(send: Send, request: Request | None) -> dict[str, Any]:
    """As others write it down, but for the id, which the server will make."""
    assert request is not None
    said = [leg.amount for leg in send.legs] or [send.amount or f"{leg.amount:f}" for leg in request.legs]
    return {"ledger": send.ledger, "said": said, **request_json.dump(request), "transaction_id": None}


# -- what was answered -----------------------------------------------------------------------------------------------


def _told(answer: Answer, sending: _Sending) -> tuple[str, dict[str, Any]]:
    body = answer.body
    if answer.status == 201:
        results = [_result(one) for one in (body["results"] if sending.mode else [body])]
        return "ok", {"results": results, "replayed": answer.replayed}
    code = body["code"]
    if code == errors.OutcomeUnknown.code:
        return "unknown", {"code": code}
    refused = _refused(body)
    if refused is None:
        return "fail", {"code": code, "words": body["detail"]}
    if sending.mode != "all":
        return "ok", {"results": [refused for _ in sending.sends]}
    # Of a list that is posted whole or not at all, the others were not done, and no rule said no to them.
    results = [{"is": "fail"} for _ in sending.sends]
    results[body["details"]["number"] - 1] = refused
    return "ok", {"results": results}


def _result(body: dict[str, Any]) -> dict[str, Any]:
    if body["status"] == "refused":
        return _refused(body["problem"]) or {"is": "fail", "code": body["problem"]["code"]}
    return {
        "is": body["status"],
        "id": body["transaction_id"],
        "key": body["idempotency_key"],
        "posted_at": body["posted_at"],
        "entries": [_line(entry) for entry in body["entries"]],
    }


def _refused(problem: dict[str, Any]) -> dict[str, Any] | None:
    """None when it was no rule of the ledger that said no."""
    try:
        error = errors.by_code(problem["code"])
    except StopIteration:
        return None
    if error.exit_code not in REFUSALS:
        return None
    return {"is": "refused", "reason": error.code, "account": problem["details"].get("account")}


def _line(entry: dict[str, Any]) -> list[Any]:
    """As other clients are told it, but for its seq, which is not said."""
    exponent = EXPONENTS[entry["currency"]]
    amount = _units(entry["credit"], exponent) if entry["debit"] is None else _units(f"-{entry['debit']}", exponent)
    return [entry["account"], None, amount, _units(entry["balance"], exponent)]


def _units(text: str, exponent: int) -> int | str:
    """The text itself where it has not all of its digits, and no more: then it is not what was to be said."""
    return int(Decimal(text).scaleb(exponent)) if len(text.partition(".")[2]) == exponent else text
