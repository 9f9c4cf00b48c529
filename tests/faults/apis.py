"""The processes of the REST API in a run: started, killed, stopped, and started again on the same port."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from socket import socket
from typing import Any

from ledgerctl.errors import Exit
from tests.faults import points
from tests.faults.history import Recorder
from tests.faults.http_line import HOST, ISSUER
from tests.faults.points import Board, Slot
from tests.faults.runs import ROOT, Run

_READY_S = 60
_ENDS_S = 60
_SECRET = "0123456789abcdef0123456789abcdef"


class Api:
    """One port, and the process that listens there now; `ended` counts those before it."""

    def __init__(self, run: Run, number: int, slot: Slot, surroundings: Mapping[str, str], recorder: Recorder) -> None:
        self.number, self.slot = number, slot
        self._run, self._surroundings, self._recorder = run, surroundings, recorder
        self.ended = -1
        self.start()

    def start(self) -> None:
        self.ended += 1
        self.slot.point = "idle"
        surroundings = {
            **os.environ,
            **self._surroundings,
            "LEDGERCTL_API_LISTEN": f"{HOST}:{self._run.ports[self.number]}",
            points.TAKEN: str(self._taken),
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.launch", "serve"],
                cwd=ROOT, env=surroundings, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    @property
    def _log(self) -> Path:
        return self._run.directory / f"api-{self.number}-{self.ended}.log"

    @property
    def _taken(self) -> Path:
        return self._log.with_suffix(".taken")

    @property
    def serves(self) -> bool:
        """It listens. One that ended by itself is started again if it had no database, as its keeper would."""
        code = self._process.poll()
        if code == Exit.UNAVAILABLE:
            self.start()
        elif code is not None:
            raise ChildProcessError(f"api {self.number} ended with {code}: {self._log.read_text()[-2000:]}")
        return "serving http" in self._log.read_text(encoding="utf-8")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and how it ended, with what it had taken."""
        op = self._recorder.invoke("stop", 0, api=self.number)
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(_ENDS_S)
        except subprocess.TimeoutExpired:
            self.kill()
            code = -signal.SIGKILL
        taken = self._taken.read_text(encoding="ascii").split() if self._taken.exists() else []
        self._recorder.end(op, "ok", code=code, taken=taken)


class Apis:
    def __init__(self, run: Run, board: Board, settings: dict[str, Any], planted: str) -> None:
        run.secret.write_text(_SECRET)
        run.secret.chmod(0o600)
        recorder = Recorder(run.histories, "nemesis")
        surroundings = {
            "LEDGERCTL_DATABASE_URL": run.url,
            "LEDGERCTL_API_ISSUER": ISSUER,
            "LEDGERCTL_API_SECRET_FILE": str(run.secret),
            "LEDGERCTL_API_REQUESTS": "1000000000",
            "LEDGERCTL_STATE_DIRECTORY": str(run.directory / "state-api"),
            **{f"LEDGERCTL_DATABASE_{name.upper()}": str(value) for name, value in settings.items()},
            points.PLANTED: planted,
        }
        self._all: list[Api] = []
        for number in range(len(run.ports)):
            own = {**surroundings, points.PLACE: board.address(number)}
            self._all.append(Api(run, number, board.api(number), own, recorder))

    def serving(self) -> list[Api]:
        return [api for api in self._all if api.serves]

    def wait(self) -> None:
        deadline = time.monotonic() + _READY_S
        while len(self.serving()) < len(self._all):
            if time.monotonic() > deadline:
                raise TimeoutError("the API does not begin to serve")
            time.sleep(0.02)

    def stop(self) -> None:
        """In order, when its callers are done; one that has not begun to serve is left to `kill`."""
        for api in self.serving():
            api.stop()

    def kill(self) -> None:
        for api in self._all:
            api.kill()


def ports(held: Sequence[socket]) -> tuple[int, ...]:
    return tuple(one.getsockname()[1] for one in held)
