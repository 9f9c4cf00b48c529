"""The command line as one span, which is sent with all that are in it when the command is over."""

from __future__ import annotations

import os
from collections.abc import Callable

from ledgerctl import tracing
from ledgerctl.cli import output
from ledgerctl.errors import Exit


def traced(run: Callable[[], int]) -> int:
    """Run the command line. What becomes of its trace changes neither its answer nor its exit code."""
    trace = tracing.begin(os.environ)
    if trace is None or trace.spans is None:
        return run()
    code: int = Exit.BUG
    command = tracing.Span(trace, "ledgerctl", {})
    try:
        with command:
            code = run()
        return code
    except SystemExit as stop:  # of SIGTERM
        code = stop.code if isinstance(stop.code, int) else Exit.BUG
        raise
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
        raise
    finally:
        _send(trace, command, code)


def _send(trace: tracing.Trace, command: tracing.Span, code: int) -> None:
    if "command" not in command.attributes:  # help, or nothing that we know
        return
    try:
        _conclude(trace, command, code)
        from ledgerctl import otlp

        problem = otlp.send(trace)
    except ImportError:
        problem = "install ledgerctl with its extra 'otel'"
    except (KeyboardInterrupt, SystemExit):  # whoever stops us now does not want to wait for this
        return
    except Exception as error:
        problem = type(error).__name__
    if problem:
        output.note(f"warning: the trace of this run is lost: {problem}")


def _conclude(trace: tracing.Trace, command: tracing.Span, code: int) -> None:
    """How it ended: in words of the command's own, or else in those of its exit code."""
    told, outcome = command.attributes, Exit(code).name.lower()
    command.name = f"ledgerctl {told['command']}"
    command.error = str(told.pop("error", "")) or command.error or (outcome if code else "")
    command.attributes = {"outcome": outcome, **told, "exit_code": int(code)}
    if trace.left_out:
        command.attributes["spans_left_out"] = trace.left_out
