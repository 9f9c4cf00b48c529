"""Whether anybody is ever told an older balance than somebody was told before: posting and reading, with Redis hurt.

    python -m tests.faults.stale_reads --seconds 120 --seed 7

Writers post and, once they are answered, write down how far each account has come; readers look that up, ask, and
compare. Afterwards every balance that was read must be one that the books had. Everything is real but the time: permits
last a tenth of what they do, so that ten times as many run out. docs/reliability.md tells of the runs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import psycopg
from psycopg.conninfo import make_conninfo

from ledgerctl.config import Database as Settings
from ledgerctl.core.model import NewAccount
from ledgerctl.db import migrate
from ledgerctl.db.connection import Database
from ledgerctl.services import accounts
from ledgerctl.services.books import open_books
from tests.faults import campaign, stale_clients
from tests.faults.servers import Server
from tests.faults.stale_board import ACCOUNTS, Board
from tests.faults.stale_clients import Client, Plan
from tests.faults.stale_faults import Faults
from tests.faults.stale_orders import ORDERS
from tests.redis_servers import Redis

_ENDS_S = 30
READS = """
    SELECT account, seq, balance FROM account_history WHERE ledger_id = 1
    UNION ALL SELECT code, 0, 0 FROM accounts WHERE ledger_id = 1
"""


@dataclass
class Result:
    reads: int = 0
    hits: int = 0
    posted: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


def run(plan: Plan, server: Server) -> Result:
    """One run of clients and faults, and what is wrong afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="stale-"))
    redis = Redis(directory)
    redis.start()
    try:
        with _books(server, f"stale_{os.getpid()}_{plan.seed}") as conninfo:
            board = Board(directory / "board", plan.writers + plan.readers)
            _work(plan, server, redis, conninfo, board, directory)
            return _judged(board, conninfo, directory)
    finally:
        redis.stop()
        shutil.rmtree(directory)


def _work(plan: Plan, server: Server, redis: Redis, conninfo: str, board: Board, directory: Path) -> None:
    draw = random.Random(plan.seed)
    clients = [
        Client(number, number < plan.writers, conninfo, redis.url, plan, directory)
        for number in range(plan.writers + plan.readers)
    ]
    pids = {client.number: stale_clients.start(client, board) for client in clients}
    faults = Faults(server, redis, conninfo, draw, pids, plan)
    end = time.monotonic() + plan.seconds
    try:
        while not _enough(plan, board, end):
            time.sleep(draw.uniform(*plan.every_s))
            board.struck(faults.strike())
            for client in clients:
                if os.waitpid(pids[client.number], os.WNOHANG)[0]:
                    pids[client.number] = stale_clients.start(client, board)
    finally:
        faults.undo()
        server.wait()
        board.stop()
        _end(list(pids.values()))


def _enough(plan: Plan, board: Board, end: float) -> bool:
    if board.stopped:
        return True
    if plan.until_reads:
        return board.total("reads") >= plan.until_reads and sum(board.faults().values()) >= plan.until_faults
    return time.monotonic() >= end


def _end(pids: Sequence[int]) -> None:
    deadline = time.monotonic() + _ENDS_S
    for pid in pids:
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)


def _judged(board: Board, conninfo: str, directory: Path) -> Result:
    result = Result(board.total("reads"), board.total("hits"), board.total("posted"))
    result.faults.update(board.faults())
    with psycopg.connect(conninfo) as conn:
        had = {(account, seq): balance for account, seq, balance in conn.execute(READS)}
        ids = {row[0] for row in conn.execute("SELECT id FROM transactions")}
    for file in sorted(directory.glob("*.stale")):
        result.violations += file.read_text().splitlines()
    for file in sorted(directory.glob("*.seen")):
        for account, seq, balance in json.loads(file.read_text()):
            if had.get((account, seq)) != Decimal(balance):
                result.violations.append(f"never in the books: {account} held {balance} after {seq} entries")
    for file in sorted(directory.glob("*.told")):
        lost = [told for told in file.read_text().split() if UUID(told) not in ids]
        result.violations += [f"told, and not in the books: {told}" for told in lost]
    return result


@contextmanager
def _books(server: Server, name: str) -> Iterator[str]:
    with psycopg.connect(server.conninfo, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    conninfo = make_conninfo(server.conninfo, dbname=name)
    try:
        migrate.upgrade(conninfo)
        database = Database(Settings(url=conninfo), None, "ledgerctl stale")
        accounts.create_ledger(database, "main", "stale", "stale")
        books = open_books(database, "main", "stale", "stale")
        accounts.create(books, [NewAccount(code, "liability", "EUR", 2, None, None, None, None) for code in ACCOUNTS])
        database.close()
        yield conninfo
    finally:
        server.wait()
        with psycopg.connect(server.conninfo, autocommit=True) as conn:
            conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reads", type=int, default=0)
    parser.add_argument("--faults", type=int, default=0)
    parser.add_argument("--order", choices=ORDERS)
    asked = parser.parse_args()
    order = ORDERS[asked.order] if asked.order else None
    started = time.monotonic()
    with campaign.server() as server:
        plan = Plan(asked.seed, asked.seconds, order=order, until_reads=asked.reads, until_faults=asked.faults)
        result = run(plan, server)
    print(f"{result.reads:,} reads, {result.hits:,} of them from Redis; {result.posted:,} posted")
    print(f"{sum(result.faults.values()):,} faults: {dict(sorted(result.faults.items()))}")
    print(f"{len(result.violations)} violations in {time.monotonic() - started:.0f} s")
    for words in result.violations[:10]:
        print(" ", words)
    return bool(result.violations)


if __name__ == "__main__":
    sys.exit(main())
