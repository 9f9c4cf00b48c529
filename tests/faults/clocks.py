"""A server whose clock can be moved while it runs, by libfaketime (Debian's package of that name)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledgerctl.db import embedded_install
from tests.faults import campaign
from tests.faults.servers import Server

_PACKAGE = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


def impossible() -> str:
    """Why no clock can be moved here; empty when it can."""
    return "" if _PACKAGE else "libfaketime is not installed (Debian's package libfaketime)"


@contextmanager
def server() -> Iterator[Server]:
    """Like `campaign.server`; its `clock` is a file that holds an offset such as `-3600`, in seconds."""
    with tempfile.TemporaryDirectory(prefix="ledgerctl-clock-") as directory:
        Path(directory).chmod(0o711)  # the server's own user passes through
        clock = Path(directory) / "offset"
        clock.write_text("+0\n")
        clock.chmod(0o644)
        before = dict(embedded_install.ENVIRONMENT)
        embedded_install.ENVIRONMENT.update(
            LD_PRELOAD=str(_PACKAGE[0]),
            FAKETIME_TIMESTAMP_FILE=str(clock),
            FAKETIME_NO_CACHE="1",
            FAKETIME_DONT_RESET="1",
            DONT_FAKE_MONOTONIC="1",
        )
        try:
            with campaign.server() as made:
                made.clock = clock
                yield made
        finally:
            embedded_install.ENVIRONMENT.clear()
            embedded_install.ENVIRONMENT.update(before)
