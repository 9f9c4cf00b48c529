"""Planted bugs of one kind: what should be asked under the locks is asked before them, or the locks in another order.

Each takes the place of `journal.gather`. Where the database's own constraints refuse what comes of it, they must be
taken away for the bug to reach the books.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

from ledgerctl.core import money
from ledgerctl.core.model import Request, Standing
from ledgerctl.db import journal
from ledgerctl.db.connection import Connection
from ledgerctl.db.journal import Gathered

Gather = Callable[[Connection, int, Sequence[Request]], Gathered]
gather = journal.gather


def balance_before_the_lock(conn: Connection, ledger: int, requests: Sequence[Request]) -> Gathered:
    """Whoever waited for the lock reckons with the balance that was there before."""
    seen = _seen(conn, ledger, requests)
    gathered = gather(conn, ledger, requests)
    early = {code: money.minor(one.balance, one.exponent) for code, one in seen.items()}
    stale = {code: Standing(early[code], stands.seq) for code, stands in gathered.facts.standings.items()}
    return _with(gathered, standings=stale)


def status_before_the_lock(conn: Connection, ledger: int, requests: Sequence[Request]) -> Gathered:
    """Whoever waited for the lock takes the account for active, as it was before."""
    seen = _seen(conn, ledger, requests)
    gathered = gather(conn, ledger, requests)
    stale = {code: replace(account, status=seen[code].status) for code, account in gathered.facts.accounts.items()}
    return _with(gathered, accounts=stale)


def key_before_the_lock(conn: Connection, ledger: int, requests: Sequence[Request]) -> Gathered:
    """Whoever waited for the lock does not know the key of whom he waited for."""
    known = journal.known(conn, ledger, [request.key for request in requests])
    return _with(gather(conn, ledger, requests), known=known)


def reversal_before_the_lock(conn: Connection, ledger: int, requests: Sequence[Request]) -> Gathered:
    """Whoever waited for the lock does not know the reversal of whom he waited for."""
    originals = journal.originals(conn, ledger, [request.reverses for request in requests if request.reverses])
    return _with(gather(conn, ledger, requests), originals=originals)


def locks_in_the_order_of_the_request(conn: Connection, ledger: int, requests: Sequence[Request]) -> Gathered:
    """Whoever pays the other way holds what we want, and wants what we hold."""
    for request in requests:
        for leg in request.legs:
            journal.lock(conn, ledger, [leg.account])
    return gather(conn, ledger, requests)


def _with(gathered: Gathered, **facts: Any) -> Gathered:
    return gathered._replace(facts=gathered.facts._replace(**facts))


class Seen(NamedTuple):
    status: str
    balance: Decimal
    exponent: int


SEEN = "SELECT code, status, balance, exponent FROM accounts WHERE ledger_id = %s AND code = ANY(%s)"


def _seen(conn: Connection, ledger: int, requests: Sequence[Request]) -> dict[str, Seen]:
    codes = [leg.account for request in requests for leg in request.legs]
    return {code: Seen(*seen) for code, *seen in conn.execute(SEEN, [ledger, codes]).fetchall()}
