"""The processes of a run: writers, who post and note what they were told, and readers, who compare."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from ledgerctl import errors
from ledgerctl.cache import Away
from ledgerctl.cache import server as cache_server
from ledgerctl.config import Database as Settings
from ledgerctl.core import money
from ledgerctl.core.requesting import transfer
from ledgerctl.db.connection import Connection, Database
from ledgerctl.services import balance_changes, balance_reads, payments
from ledgerctl.services.books import Books, open_books
from tests.faults.stale_board import ACCOUNTS, Board

_PERMIT_S, _WAIT_S, _REST_S = 0.1, 0.125, 0.0
_TIMEOUT_S = 0.1
_LATE_S = (0.01, 0.6)
_SLOW_S = (0.001, 0.08)
_POINTS = ("marking", "marked", "committed", "settled")

Order = Callable[[], None]
"""Puts one thing in the place of another, in the process of a client: a wrong order of things."""


class Plan(NamedTuple):
    seed: int
    seconds: float = 20
    writers: int = 3
    readers: int = 2
    every_s: tuple[float, float] = (0.05, 0.5)
    """Between two faults from outside."""
    faults: tuple[str, ...] = ()
    """Only these, from outside; by default all."""
    wire_rate: float = 0.001
    """Of a client's commands to Redis, so many are lost, late or slow."""
    death_rate: float = 0.01
    """Of a writer's postings, so many end with the writer, at one point or another."""
    order: Order | None = None
    """A wrong order of things, which must be found."""
    until_reads: int = 0
    until_faults: int = 0
    """With these, it goes on until both are reached."""


class Client(NamedTuple):
    number: int
    writes: bool
    conninfo: str
    redis: str
    plan: Plan
    directory: Path


def start(client: Client, board: Board) -> int:
    """A process of its own; its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _live(client, board)
        code = 0
    except BaseException as error:  # the process is no test: nobody would see it
        (client.directory / f"{client.number}.stale").open("a").write(f"client {client.number} died: {error!r}\n")
    finally:
        os._exit(code)


def _live(client: Client, board: Board) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    draw = random.Random(f"{client.plan.seed} {client.number} {time.monotonic_ns()}")
    balance_reads.PERMIT_S, balance_reads.REST_S = _PERMIT_S, _REST_S
    balance_changes.WAIT_S = _WAIT_S
    cache_server.LEAST_REST_S, cache_server.LONGEST_REST_S = 0.02, 0.1
    _hurt_wire(client, board, draw)
    if client.writes:
        _die_at_points(client, board, draw)
    if client.plan.order is not None:
        client.plan.order()
    while not board.stopped:
        with suppress(errors.LedgerError):
            books = _books(client)
            if client.writes:
                _write(client, board, books)
            else:
                _read(client, board, books, draw)


def _books(client: Client) -> Books:
    settings = Settings(client.conninfo, lock_timeout_ms=1000, statement_timeout_ms=3000, deadline_s=5)
    database = Database(settings, None, f"ledgerctl client {client.number}")
    return open_books(database, "main", "stale", "stale", cache_server.Server(client.redis, _TIMEOUT_S))


def _write(client: Client, board: Board, books: Books) -> None:
    """One payment after another; one whose outcome is not known is sent again, also by the next process."""
    with (client.directory / f"{client.number}.told").open("a") as told:
        while not board.stopped:
            sent = board.get(client.number, "sent")
            draw = random.Random(f"{client.plan.seed} {client.number} {sent}")
            source, target = draw.sample(ACCOUNTS, 2)
            new_id, amount = UUID(int=draw.getrandbits(128), version=4), Decimal(draw.randint(1, 9))
            request = transfer(new_id, f"{client.number}:{sent}", source, target, amount)
            try:
                receipt = payments.post_one(books, request)
            except errors.LedgerError:
                continue
            for line in receipt.transaction.lines:
                board.put(client.number, line.account, max(line.seq, board.get(client.number, line.account)))
            told.write(f"{receipt.transaction.id}\n")
            told.flush()
            board.put(client.number, "sent", sent + 1)
            board.add(client.number, "posted")


def _read(client: Client, board: Board, books: Books, draw: random.Random) -> None:
    """Balances of one account and another; each is compared with what was told before it was asked for."""
    assert books.cache is not None
    reader = balance_reads.Reader(books)
    seen: dict[tuple[str, int], str] = {}
    hits = 0
    try:
        while not board.stopped:
            account = draw.choice(ACCOUNTS)
            told = board.told(account)
            try:
                balance = reader.balance(account)
            except errors.LedgerError:
                continue
            amount = money.text(balance.balance, balance.exponent)
            if balance.seq < told:
                _found(client, f"stale: {account} after {balance.seq} entries, when {told} were told")
                if client.plan.order is not None:
                    board.stop()
            seen[account, balance.seq] = amount
            board.add(client.number, "reads")
            board.add(client.number, "hits", books.cache.counts["balances", "hit"] - hits)
            hits = books.cache.counts["balances", "hit"]
    finally:
        file = client.directory / f"{client.number}-{os.getpid()}-{time.monotonic_ns()}.seen"
        file.write_text(json.dumps([(*place, amount) for place, amount in seen.items()]))


def _found(client: Client, words: str) -> None:
    with (client.directory / f"{client.number}.stale").open("a") as file:
        file.write(f"{words}\n")


def _hurt_wire(client: Client, board: Board, draw: random.Random) -> None:
    """Some commands to Redis are slow, lost on their way or on the way back, or arrive when nobody waits any more."""
    asked = cache_server.Server._asked

    def hurt(self: cache_server.Server, ask: Any) -> Any:
        if draw.random() >= client.plan.wire_rate:
            return asked(self, ask)
        kind = draw.choice(("slow command", "lost answer", "late request", "lost request"))
        board.add(client.number, kind)
        if kind == "slow command":
            time.sleep(draw.uniform(*_SLOW_S))
            return asked(self, ask)
        if kind == "lost answer":
            asked(self, ask)
        if kind == "late request":
            threading.Thread(target=_later, args=(client.redis, ask, draw.uniform(*_LATE_S)), daemon=True).start()
        self.close()
        raise Away(kind)

    def _later(url: str, ask: Any, seconds: float) -> None:
        time.sleep(seconds)
        late = cache_server.Server(url, _TIMEOUT_S)
        with suppress(Away):
            asked(late, ask)
        late.close()

    cache_server.Server._asked = hurt  # type: ignore[method-assign]


def _die_at_points(client: Client, board: Board, draw: random.Random) -> None:
    """Now and then the process ends between two steps of a posting; or takes its time, so that others come between."""
    mark, settle = balance_changes.Change.mark, balance_changes.Change.settle

    def at(point: str, doomed: str) -> None:
        if point == doomed:
            board.add(client.number, "killed at a point")
            os.kill(os.getpid(), signal.SIGKILL)
        if draw.random() < 0.05:
            time.sleep(draw.uniform(0, 0.02))

    def doom() -> str:
        return draw.choice(_POINTS) if draw.random() < client.plan.death_rate else ""

    def marking(self: Any, conn: Connection, *args: Any) -> None:
        self.doomed = doom()
        at("marking", self.doomed)
        mark(self, conn, *args)
        at("marked", self.doomed)

    def settling(self: Any) -> None:
        at("committed", self.doomed)
        settle(self)
        at("settled", self.doomed)

    balance_changes.Change.mark = marking  # type: ignore[method-assign, assignment]
    balance_changes.Change.settle = settling  # type: ignore[method-assign]
