"""A client that runs the command line, a process for each transfer."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from ledgerctl import errors
from ledgerctl.core import money
from tests.faults import points
from tests.faults.by_library import REFUSALS, Library
from tests.faults.history import trace_id
from tests.faults.runs import ROOT, Run
from tests.faults.script import Act, Post, Send

_COMMAND_S = 120
KILLED = (-signal.SIGKILL, -signal.SIGALRM)


class CommandLine(Library):
    """A process for each transfer; one in two is killed on its way, and leaves its request to `ledgerctl resolve`."""

    def perform(self, step: int, act: Act) -> None:
        draw = random.Random(f"{self._run.seed}:{step}:command")
        if not isinstance(act, Post) or draw.random() >= self._run.command_share:
            super().perform(step, act)
            return
        if len(act.sends) != 1:
            return
        [send] = act.sends
        if (
            send.undoes
            or len(send.legs) != 2
            or send.ledger != "main"
            or money.parse_all([send.legs[0].amount]) is None
        ):
            return
        failpoint = draw.choice((*points.POINTS[1:], *points.IN_FLIGHT * 6)) if draw.random() < 0.5 else ""
        source, target = send.legs
        words = ["transfer", source.account, target.account, f"{source.amount} {source.currency}", "-i", send.key]
        asked = {"ledger": send.ledger, "failpoint": failpoint, **_worded(send)}
        op = self._recorder.invoke("command", step, sends=[asked])
        trace = f"00-{trace_id(self._name, op)}-0000000000000001-00"
        done = command(self._run, self._name, [*words, "--reference", send.intent], failpoint, trace)
        if done.returncode in (*KILLED, errors.Exit.OUTCOME_UNKNOWN):
            self._recorder.end(op, "unknown", code=done.returncode)
        elif done.returncode:
            error = json.loads(done.stderr.splitlines()[-1])["error"]
            refused = {"is": "refused", "reason": error["code"]}
            how = "ok" if done.returncode in REFUSALS else "fail"
            self._recorder.end(op, how, code=error["code"], results=[refused])
        else:
            told = json.loads(done.stdout)
            self._recorder.end(op, "ok", results=[{"is": told["status"], "id": told["transaction_id"]}])


def command(
    run: Run, name: str, words: Sequence[str], failpoint: str = "", trace: str = ""
) -> subprocess.CompletedProcess[str]:
    """A run of the command line, with a state directory of that client's own."""
    return subprocess.run(
        [sys.executable, "-m", "tests.faults.launch", "-o", "json", *words],
        cwd=ROOT,
        env={
            **os.environ,
            "LEDGERCTL_DATABASE_URL": run.url,
            "LEDGERCTL_STATE_DIRECTORY": str(run.directory / f"state-{name}"),
            "TRACEPARENT": trace,
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
