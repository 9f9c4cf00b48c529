"""Wrong orders of things, which the comparison of what was told and what is read must find.

The first four are the ones that caches are usually built by; the others leave out one step of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from ledgerctl.cache import Away, balances, server
from ledgerctl.cache.balances import Balances, Found
from ledgerctl.core.model import Balance, Posted, Request, recorded
from ledgerctl.services import balance_changes, balance_reads, payments
from ledgerctl.services.balance_changes import Change
from ledgerctl.services.books import Books
from ledgerctl.services.payments import Receipt

_mark, _settle = Change.mark, Change.settle


def _set(kept: Balances, balance: Balance) -> None:
    name = kept._name(balance.code)
    kept._server.set_all({name: kept._value(name, balance)}, balances.VALUE_S)


def _note(self: Any, _conn: Any, writer: Any, accounts: Any, moved: Mapping[str, Any], repeated: Any = None) -> None:
    """What `mark` keeps in mind, without a word to Redis."""
    self._writer = writer
    self._balances = [balance_changes._balance(accounts[code], stands) for code, stands in moved.items()]


def _kept(change: Any) -> Balances | None:
    epoch = change._writer.epoch
    if epoch is None or epoch.state == "off":
        return None
    with suppress(Away):
        kept: Balances = change._kept(epoch)
        return kept
    return None


def _tell(change: Any, what: Callable[[Balances, Balance], None]) -> None:
    kept = _kept(change)
    with suppress(Away):
        for balance in change._balances:
            if kept is not None:
                what(kept, balance)


def _nothing(_change: Any) -> None:
    """In the place of `settle`."""


def set_before_the_commit() -> None:
    """Redis has it before the database does; if the commit never comes, for ever."""

    def mark(self: Any, *args: Any) -> None:
        _note(self, *args)
        _tell(self, _set)

    Change.mark, Change.settle = mark, _nothing  # type: ignore[method-assign, assignment]


def set_after_the_commit() -> None:
    """Two who post one after the other may come to Redis the other way round; one who dies never comes."""
    Change.mark, Change.settle = _note, lambda self: _tell(self, _set)  # type: ignore[method-assign, assignment]


def delete_then_fill_without_a_lease() -> None:
    """Who reads takes what he had read before the commit to where it was deleted after it."""

    def delete(kept: Balances, balance: Balance) -> None:
        kept._server._asked(lambda client: client.delete(kept._name(balance.code)))

    def find(self: Balances, code: str) -> Found:
        held = self._server.get(self._name(code))
        balance = None if held is None else self._balance(self._name(code), code, held)
        return Found(balance, b"whatever stands there")

    def put(self: Balances, balance: Balance, replaced: bytes) -> None:
        _set(self, balance)

    Balances.find, Balances.put = find, put  # type: ignore[method-assign]
    Change.mark, Change.settle = _note, lambda self: _tell(self, delete)  # type: ignore[method-assign, assignment]


def only_a_time_to_live() -> None:
    """Nobody tells Redis anything; what it has grows old."""
    Change.mark, Change.settle = _note, _nothing  # type: ignore[method-assign, assignment]
    balances.VALUE_S = 1


def not_confirmed_after_the_commit() -> None:
    """The mark was lost before the commit, and somebody has put there what was true until then."""
    Change.settle = _nothing  # type: ignore[method-assign, assignment]


def nobody_waits() -> None:
    """The epoch is closed, and those who were permitted to read by it a moment ago still do."""
    balance_changes.WAIT_S = 0


def a_permit_for_ever() -> None:
    """Who was once permitted to read by an epoch does so when it is closed."""
    balance_reads.PERMIT_S = 1e9


def any_instance() -> None:
    """A Redis that was started with an old dump is taken for the one that it was."""
    instance = server.Server.instance

    def the_same(self: server.Server) -> server.Instance:
        return server.Instance("the same", instance(self).unfit)

    server.Server.instance = the_same  # type: ignore[method-assign]


def forged_values_believed() -> None:
    """Whoever can write to Redis says what an account holds."""
    from ledgerctl.cache.keeping import Keeping

    Keeping.verified = lambda _self, _name, value: value[64:] or None  # type: ignore[method-assign, assignment]


def redis_taken_for_the_truth() -> None:
    """A key is used because Redis has it; whoever took it died before he had posted."""
    post = payments.post_one

    def post_one(books: Books, request: Request) -> Receipt:
        assert books.cache is not None
        try:
            name = f"taken:{request.key}"
            first = books.cache._asked(lambda client: client.set(name, 1, nx=True))
        except Away:
            first = True
        if first:
            return post(books, request)
        stand_in = Posted(request, datetime.now(UTC), ())
        return Receipt(recorded(stand_in), replayed=True)

    payments.post_one = post_one  # type: ignore[assignment]


FOUR = (set_before_the_commit, set_after_the_commit, delete_then_fill_without_a_lease, only_a_time_to_live)
OURS = (
    not_confirmed_after_the_commit,
    nobody_waits,
    a_permit_for_ever,
    any_instance,
    forged_values_believed,
)
ORDERS = {order.__name__: order for order in (*FOUR, *OURS, redis_taken_for_the_truth)}
