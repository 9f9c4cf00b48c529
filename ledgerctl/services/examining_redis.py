"""Does Redis answer, and may balances be kept there? Without it no answer is wrong, and some take longer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from statistics import median

from ledgerctl.cache import Away
from ledgerctl.cache.server import Script, Server
from ledgerctl.config import Redis, without_login
from ledgerctl.core import times
from ledgerctl.db import quick_checks
from ledgerctl.db.connection import Connection
from ledgerctl.db.quick_checks import BalanceEpoch
from ledgerctl.errors import BadConfig
from ledgerctl.services.balance_changes import WAIT_S
from ledgerctl.services.examining_server import OPEN_S, About
from ledgerctl.services.findings import Finding, Verdict, ok, problem, skipped, warning

PINGS = 5
_NOTHING = "ledgerctl:examined"
"""A name at which nothing is kept: it is looked up as a balance is."""
_MEMORY = Script("return redis.call('INFO', 'memory')")

_ORIGIN = "ledgerctl config show --origin"
_ENDS = "nothing, if that is over: the next posting ends it, and the next who reads begins anew; else mend it"
_OVER = "nothing, if that is over: the next who reads a balance with [redis] balances begins anew; else mend it"


def examine(settings: Redis) -> tuple[list[Finding], str]:
    """What is found, and the run_id of the process that answered; empty where none did."""
    if not settings.url:
        return [Finding("redis", *ok("none is configured"))], ""
    place = without_login(settings.url)
    try:
        with closing(Server(settings.url, settings.timeout_ms / 1000)) as server:
            run_id, verdicts = server.instance().run_id, list(_verdicts(server, place))
    except BadConfig as error:  # which stops whoever posts or reads
        run_id, verdicts = "", [problem(error.details["detail"], error.advice)]
    except Away as away:
        run_id, verdicts = "", [warning(f"{place}: {away}", f"see that it runs, and what [redis] says: {_ORIGIN}")]
    return [Finding("redis", *verdict) for verdict in verdicts], run_id


def _verdicts(server: Server, place: str) -> Iterator[Verdict]:
    answered = f"{place} answers in {1000 * median(_took_s(server) for _ in range(PINGS)):.1f} ms"
    unfit, memory = server.instance().unfit, _memory(server)
    limit = int(memory.get("maxmemory", 0))
    if unfit:
        remedy = "name one without replicas, and no cluster, in [redis] url"
        yield problem(f"{answered}, and no balances are kept there: {unfit}", remedy)
    if limit and memory.get("maxmemory_policy") == "noeviction":
        words = f"{answered}, and takes nothing more when {limit / 10**6:.0f} MB are full (maxmemory-policy noeviction)"
        yield warning(words, "CONFIG SET maxmemory-policy volatile-lru, and the same in its configuration")
    elif not unfit:
        yield ok(answered)


def _took_s(server: Server) -> float:
    started = time.perf_counter()
    server.get(_NOTHING)
    return time.perf_counter() - started


def _memory(server: Server) -> dict[str, str]:
    """By a script, as everything is done that changes something there."""
    lines = server.run(_MEMORY, [], []).decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def balances(conn: Connection, about: About) -> list[Verdict]:
    """Whether the books say that balances may be read from this very Redis, and if not, why."""
    epoch = quick_checks.balance_epoch(conn, about.ledger)
    if epoch is None:
        return [ok("none were ever kept in Redis")]
    if epoch.state == "off":
        begins = bool(about.redis.url) and about.redis.balances
        return [warning(f"not kept in Redis: {_closed(epoch)}", _OVER) if begins else ok("none are kept in Redis")]
    if epoch.state == "closing":
        words = f"not read from Redis any more: {_closed(epoch)}; the next who posts waits {WAIT_S} s"
        return [warning(words, _ENDS)]
    if not about.redis.url:
        words = f"kept in Redis, and without its url here: whoever posts from here closes that, and waits {WAIT_S} s"
        return [warning(words, f"set [redis] url to the one that whoever reads them uses: {_ORIGIN}")]
    since = times.text(epoch.changed_at)
    if not about.run_id:
        return [skipped(f"kept in Redis since {since}; needs redis")]
    if epoch.instance != about.run_id:
        words = f"kept since {since} in another Redis, or in this one before it was started anew"
        remedy = f"nothing, if it was: who posts next closes that; else name the same url everywhere: {_ORIGIN}"
        return [warning(words, remedy)]
    if epoch.state != "on" and epoch.seconds > OPEN_S:
        words = f"to be kept in this Redis, and since {since} waiting for transactions that began before"
        return [warning(words, "nothing, if nobody reads balances; else see sessions, in every database of the server")]
    if epoch.state != "on":
        return [ok(f"about to be kept in this Redis, since {since}: once all who posted then are done")]
    return [ok(f"kept in this Redis since {since}")]


def _closed(epoch: BalanceEpoch) -> str:
    """A row that another server wrote, or this one before it was started anew, is closed without a word."""
    at = times.text(epoch.changed_at)
    if epoch.reason is None:
        return f"begun {at}, and the database was started anew, restored or replaced since"
    return f"closed {at}: {epoch.reason}"
