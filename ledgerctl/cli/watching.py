"""What those who look on are told of a command: lines of a log, and in the end how it went."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ledgerctl import tracing
from ledgerctl.cli import jobs, output

if TYPE_CHECKING:
    from ledgerctl.cli.invocation import Invocation


def begin(invocation: Invocation, configured: str = "") -> None:
    """Open the log, if there is to be one: asked when the options are known, and again with the configuration."""
    format_ = invocation.log_format or os.environ.get("LEDGERCTL_LOG_FORMAT", "") or configured
    invocation.watched = bool(format_ or invocation.verbose)
    if not invocation.watched:
        output.notes_as(None)
        if "ledgerctl.logs" in sys.modules:  # of another command in this process
            sys.modules["ledgerctl.logs"].silence()
        return
    import logging

    from ledgerctl import logs

    level = logging.ERROR if invocation.quiet else logging.INFO
    logs.configure(format_ or "text", level, lambda: _context(invocation))

    def line(sentence: str, error: Mapping[str, Any]) -> str:
        of = "error" if error else "warning" if sentence.startswith("warning: ") else "info"
        return logs.json_line(of, sentence, {**_context(invocation), **error})

    invocation.logs_json = format_ == "json"
    output.notes_as(line if invocation.logs_json else None)


def end(invocation: Invocation, exit_code: int) -> None:
    """Say how the command ended, whatever way it did, to the operator, the log and the metrics that were asked for."""
    if invocation.verbose:
        for wait in invocation.lock_waits:
            invocation.note(wait.words)
    if invocation.watched:
        _log_end(invocation, exit_code)
    jobs.command_ended(invocation, exit_code)


def _log_end(invocation: Invocation, exit_code: int) -> None:
    from ledgerctl import logs

    for wait in invocation.lock_waits:
        logs.event("waited for a lock", waited_s=round(wait.waited_s, 3), holder_pid=wait.holder.pid)
    seconds = round(time.time() - invocation.started_at, 3)
    outcome = invocation.outcome or ("done" if exit_code == 0 else "failed")
    logs.event(
        "ended",
        outcome=outcome,
        exit_code=exit_code,
        duration_s=seconds,
        **invocation.outcomes,
    )


def _context(invocation: Invocation) -> dict[str, Any]:
    """What is not known yet is not said."""
    context = {"command": invocation.path or invocation.command, "request_id": invocation.request_id}
    if "configuration" in vars(invocation):
        ledger = invocation.configuration.settings.ledger
        context |= {"ledger": ledger.name, "actor": invocation.who}
    if (trace := tracing.trace_id()) is not None:
        context["trace_id"] = trace
    return context
