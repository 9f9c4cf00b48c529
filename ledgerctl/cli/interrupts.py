"""Ctrl-C and SIGTERM: heard until a change is answered, and no longer.

What is committed and shown is done: an exit code of an interrupt would say that nothing of it stays.
"""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

from ledgerctl.errors import Exit


def listen() -> None:
    """Of a process of its own: whoever calls the command line as a library keeps his own handlers."""
    signal.signal(signal.SIGINT, _interrupted)
    signal.signal(signal.SIGTERM, _terminated)


def answering() -> None:
    """From now on the process goes to its end."""
    for one, ours in ((signal.SIGINT, _interrupted), (signal.SIGTERM, _terminated)):
        if signal.getsignal(one) is ours:
            signal.signal(one, signal.SIG_IGN)


def _interrupted(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _terminated(_signal: int, _frame: object) -> NoReturn:
    """Leave through every `finally`: transactions roll back, temporary files go."""
    sys.exit(Exit.TERMINATED)
