"""What the clients of a run asked and were told, a file of JSON lines each.

    {"t": ns, "op": 7, "e": "invoke", "f": "post", "sends": [{"id", "key", ...}, ...]}
    {"t": ns, "op": 7, "e": "ok", "results": [{"is": "posted" | "replayed" | "refused", ...}, ...]}
    {"t": ns, "op": 7, "e": "fail" | "unknown", "code": ...}

A line is in the kernel's hands before the request leaves, which outlives any kill of the process; the machine itself is
never cut, only images of disks are, so nothing is synced. Times are of CLOCK_MONOTONIC, the same for all processes.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

Line = dict[str, Any]


class Recorder:
    """One client's file, appended to; whoever goes on after a kill goes on in it."""

    def __init__(self, directory: Path, client: str) -> None:
        self._path = directory / f"{client}.jsonl"
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        # Whoever was killed inside a write left a half line: nothing was sent on it, or its call stays a crash.
        os.ftruncate(self._file, self._path.read_bytes().rfind(b"\n") + 1)
        self._op = len([line for line in _lines(self._path) if line["e"] == "invoke"])

    def invoke(self, function: str, step: int, **what: Any) -> int:
        self._op += 1
        self._write(self._op, "invoke", {"f": function, "step": step, **what})
        return self._op

    def end(self, op: int, how: str, **what: Any) -> None:
        self._write(op, how, what)

    def _write(self, op: int, event: str, what: Line) -> None:
        line = json.dumps({"t": time.monotonic_ns(), "op": op, "e": event, **what}) + "\n"
        os.write(self._file, line.encode())


class Call(NamedTuple):
    """One call with its end: `ok`, `fail`, `unknown`, or `crash` when the client was killed before it knew."""

    client: str
    op: int
    function: str
    invoked: int
    ended: int | None
    how: str
    asked: Line
    told: Line

    @property
    def mark(self) -> str:
        """Its name in the audit log: the id of a request by HTTP, the trace of a command; empty for others."""
        if self.function == "http":
            return request_id(self.client, self.op)
        return trace_id(self.client, self.op) if self.function == "command" else ""


def request_id(client: str, op: int) -> str:
    return f"{client}.{op}"


def trace_id(client: str, op: int) -> str:
    return sha256(request_id(client, op).encode()).hexdigest()[:32]


def last_step(directory: Path, client: str) -> int:
    """Of what a client began; -1 when it began nothing."""
    return max(
        (int(line["step"]) for line in _lines(directory / f"{client}.jsonl") if line["e"] == "invoke"), default=-1
    )


def calls(directory: Path) -> list[Call]:
    """All calls of all clients, in the order in which they began."""
    found: list[Call] = []
    for path in sorted(directory.glob("*.jsonl")):
        begun: dict[int, Line] = {}
        for line in _lines(path):
            if line["e"] == "invoke":
                begun[line["op"]] = line
                continue
            asked = begun.pop(line["op"])
            found.append(Call(path.stem, line["op"], asked["f"], asked["t"], line["t"], line["e"], asked, line))
        found += [Call(path.stem, op, line["f"], line["t"], None, "crash", line, {}) for op, line in begun.items()]
    return sorted(found, key=lambda call: call.invoked)


def _lines(path: Path) -> Iterator[Line]:
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for text in file:
            if text.endswith("\n"):  # not a line that is being written
                yield json.loads(text)
