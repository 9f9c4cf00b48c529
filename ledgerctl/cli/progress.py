"""Progress on stderr: a bar on a terminal, elsewhere a line now and then, so that a log shows that work goes on."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ledgerctl.cli import output
from ledgerctl.cli.invocation import Invocation

if TYPE_CHECKING:
    from ledgerctl.services.import_job import Progress

_LINE_EVERY_S = 10
_BAR_AFTER_S = 1


@contextmanager
def bar(invocation: Invocation, what: str, counted: str = "rejected") -> Iterator[Progress]:
    """A function to be told (done, total, how many are `counted`). Shows itself once the work has taken a second."""
    if invocation.quiet:
        yield lambda _done, _total, _rejected: None
    elif sys.stderr.isatty() and not os.environ.get("CI") and not invocation.logs_json:
        with _terminal(what, counted) as progress:
            yield progress
    else:
        yield _lines(what, counted)


@contextmanager
def _terminal(what: str, counted: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}, {task.fields[rejected]} " + counted),
        TextColumn("{task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
    )
    started = time.monotonic()
    with Bar(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=1, rejected=0, rate=0.0, visible=False)

        def progress(done: int, total: int, rejected: int) -> None:
            elapsed = time.monotonic() - started
            rate = done / elapsed if elapsed else 0.0
            shown.update(
                task, completed=done, total=total, rejected=rejected, rate=rate, visible=elapsed > _BAR_AFTER_S
            )

        yield progress


def _lines(what: str, counted: str) -> Progress:
    last = started = time.monotonic()

    def progress(done: int, total: int, rejected: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _LINE_EVERY_S:
            last = now
            rate = done / (now - started)
            left = f"{(total - done) / rate:,.0f} s left" if rate else "no end in sight"
            output.note(f"{what}: {done:,} of {total:,}, {rejected:,} {counted}, {rate:,.0f}/s, {left}")

    return progress
