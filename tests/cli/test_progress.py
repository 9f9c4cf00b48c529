"""Progress: a bar on a terminal, a line every ten seconds elsewhere, and nothing for whoever wants it quiet."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ledgerctl.cli import progress
from ledgerctl.cli.invocation import Invocation


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set; one value."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_off_a_terminal_a_line_every_ten_seconds_says_how_far_it_is(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress.bar(Invocation(), "import") as told:
        for second in range(25):
            clock[0] = 100.0 + second
            told(second * 1000, 100_000, second // 12)

    assert capsys.readouterr().err == (
        "import: 10,000 of 100,000, 0 rejected, 1,000/s, 90 s left\n"
        "import: 20,000 of 100,000, 1 rejected, 1,000/s, 80 s left\n"
    )


def test_what_is_over_in_less_says_nothing(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bar(Invocation(), "import") as told:
        clock[0] += 9.9
        told(50, 100, 0)

    assert capsys.readouterr().err == ""


def test_quiet_is_quiet(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bar(Invocation(quiet=True), "import") as told:
        clock[0] += 60
        told(50, 100, 0)

    assert capsys.readouterr().err == ""


def test_nothing_done_yet_is_no_division_by_zero(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bar(Invocation(), "reverse") as told:
        clock[0] += 11
        told(0, 100, 0)

    assert "0 of 100" in capsys.readouterr().err


def test_on_a_terminal_a_bar_shows_rows_rate_rejects_and_the_time_left(tmp_path: Path) -> None:
    script = (
        "import time\nfrom ledgerctl.cli import progress\nfrom ledgerctl.cli.invocation import Invocation\n"
        "with progress.bar(Invocation(), 'import') as told:\n"
        "    for step in range(1, 25):\n        time.sleep(0.1)\n        told(step * 1000, 100_000, 7)\n"
    )
    primary, secondary = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key != "CI"} | {"COLUMNS": "120", "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", script], stderr=secondary, env=environment, cwd=tmp_path) as running:
        os.close(secondary)
        shown = b""
        while running.poll() is None or not shown:
            try:
                shown += os.read(primary, 4096)
            except OSError:  # the other side is closed
                break
    os.close(primary)

    text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", shown).decode(errors="replace")
    assert re.search(r"import .*[0-9]+% [0-9,]+ of 100,000, 7 rejected [0-9,]+/s [0-9]+:[0-9:]+", text), text
