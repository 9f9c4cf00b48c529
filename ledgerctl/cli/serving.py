"""ledgerctl serve-metrics: what monitoring asks for, until it is told to stop."""

from __future__ import annotations

import signal
from contextlib import closing
from dataclasses import replace
from ipaddress import ip_address
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from ledgerctl import errors, pending
from ledgerctl.cli import output
from ledgerctl.cli.invocation import Context, Invocation
from ledgerctl.errors import BadUsage, Exit

if TYPE_CHECKING:
    from ledgerctl.db.connection import Database

CONNECT_S, STATEMENT_MS = 2, 2000
"""Prometheus waits ten seconds for an answer."""
COUNT_MS = 120_000
"""Accounts are counted once, before anybody asks."""


def register(root: typer.Typer) -> None:
    root.command("serve-metrics", epilog=output.exits(Exit.UNAVAILABLE, Exit.BAD_CONFIG))(serve_metrics)


def serve_metrics(
    context: Context,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where to listen.")] = "127.0.0.1:9464",
) -> None:
    """Serve /metrics for Prometheus, /health and /ready, until SIGTERM or Ctrl-C.

    Reads every ledger of the database, and changes nothing. A database that goes away may come back, and Redis too.
    """
    from ledgerctl.services.observing import Observatory
    from ledgerctl.services.observing_redis import Watch
    from ledgerctl.serving import Server, application

    invocation = context.obj
    host, port = address(listen)
    redis = invocation.configuration.settings.redis
    watch = Watch(redis) if redis.url else None
    database = _database(invocation, STATEMENT_MS)
    observatory = Observatory(database, lambda: _in_doubt(invocation), invocation.note, watch)
    stopped = _told_to_stop()
    heard = (lambda line: invocation.note(output.plain(line))) if invocation.verbose else _unheard
    server = Server(host, port, application(observatory.samples, observatory.trouble), heard)
    if not ip_address(host).is_loopback:
        invocation.note(f"warning: whoever reaches {host} can read the metrics; there is no login")
    with closing(_database(invocation, COUNT_MS)) as patient:
        observatory.begin(patient)  # from here on it is counted
    server.run_in_background()
    invocation.note(f"serving {server.url}/metrics, /health and /ready")
    stopped.wait()
    server.shutdown()
    server.server_close()
    observatory.database.close()
    invocation.note("stopped")


def _unheard(_request: str) -> None:
    """Scrapes are many: they are told of with --verbose only."""


def _told_to_stop() -> Event:
    """Set by SIGTERM and Ctrl-C: neither is a failure here."""
    stopped = Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda *_: stopped.set())
    return stopped


def _database(invocation: Invocation, statement_ms: int) -> Database:
    """One that starts no server, and that is not waited for longer."""
    database = invocation.database.attached()
    connect_s = min(database.settings.connect_timeout_s, CONNECT_S)
    settings = replace(database.settings, connect_timeout_s=connect_s, statement_timeout_ms=statement_ms)
    return replace(database, settings=settings)


def _in_doubt(invocation: Invocation) -> int:
    try:
        return pending.lost(invocation.configuration.state_directory)
    except errors.BadConfig:  # no directory, so nothing was kept in it
        return 0


def address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    host = {"localhost": "127.0.0.1"}.get(host, host.strip("[]"))
    try:
        ip_address(host)
        number = int(port)
    except ValueError:
        raise BadUsage(detail=f"'{listen}' is not an address and a port, such as 127.0.0.1:9464") from None
    if not 0 <= number <= 65535:
        raise BadUsage(detail=f"there is no port {number}")
    return host, number
