"""What the processes of a run share: how far each account has come, what was counted, and whether to stop."""

from __future__ import annotations

import mmap
from collections import Counter
from pathlib import Path

ACCOUNTS = tuple(f"bank:{number}" for number in range(6))
IN_CLIENTS = ("killed at a point", "slow command", "lost answer", "late request", "lost request")
FROM_OUTSIDE = (
    "emptied", "killed", "brought back old", "paused", "filled up", "forged", "swapped", "cut off", "client stopped",
    "writer killed", "session ended", "database stopped",
)  # fmt: skip
_FIELDS = (*ACCOUNTS, "reads", "hits", "posted", "sent", *IN_CLIENTS, *FROM_OUTSIDE)
_NUMBER = 8
"""Bytes. Each is written by one process and read by others, which the processor does in one piece."""


class Board:
    """A table of numbers in a file: a row for each client and one for whoever strikes from outside."""

    def __init__(self, file: Path, clients: int) -> None:
        self._rows = clients + 1
        file.write_bytes(bytes(_NUMBER * (1 + self._rows * len(_FIELDS))))
        with file.open("r+b") as opened:
            self._cells = memoryview(mmap.mmap(opened.fileno(), 0)).cast("q")

    @property
    def stopped(self) -> bool:
        return bool(self._cells[0])

    def stop(self) -> None:
        self._cells[0] = 1

    def get(self, client: int, name: str) -> int:
        return self._cells[self._cell(client, name)]

    def put(self, client: int, name: str, number: int) -> None:
        self._cells[self._cell(client, name)] = number

    def add(self, client: int, name: str, number: int = 1) -> None:
        self._cells[self._cell(client, name)] += number

    def struck(self, fault: str) -> None:
        """From outside."""
        self.add(self._rows - 1, fault)

    def told(self, account: str) -> int:
        """The most entries of the account that any writer was told of."""
        return max(self.get(client, account) for client in range(self._rows))

    def total(self, name: str) -> int:
        return sum(self.get(client, name) for client in range(self._rows))

    def faults(self) -> Counter[str]:
        counted = {name: self.total(name) for name in (*IN_CLIENTS, *FROM_OUTSIDE)}
        return Counter({name: number for name, number in counted.items() if number})

    def _cell(self, client: int, name: str) -> int:
        return 1 + client * len(_FIELDS) + _FIELDS.index(name)
