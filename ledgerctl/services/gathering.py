"""Single requests of many callers at once, gathered into transactions, each answered with its own outcome.

While one transaction is on its way, the next gathers: the more callers there are, the more share it, and the less it
costs each. Many of them share two at once: while the server is at work for one half, this process is for the other.

A request is refused by itself. Where somebody holds an account for long, those that name it are tried alone, and so are
those that come later, until it is free; all others are posted without them. What else stops a whole transaction - a
text that the server refuses - is told to nobody before each of its requests was tried alone, so that none of them
suffers for another.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple

from ledgerctl import errors
from ledgerctl.core.model import Request
from ledgerctl.db import locks
from ledgerctl.db.audit import By
from ledgerctl.services import payments
from ledgerctl.services.books import Books
from ledgerctl.services.payments import Receipt

AT_ONCE = 2
"""So many transactions are under way, where there are enough callers for them."""
SHARE_MIN = 6
"""So many callers are enough for one: one of three costs nearly as much as one of six."""
LONG_S = 0.05
"""One that takes longer is not counted among them, as it may be waiting for somebody's account."""
REQUESTS_MAX = 500
"""In one transaction: longer ones hold their accounts for longer."""
GATHER_S = 0.002
"""For so long a transaction waits for one more request, while fewer have come than the callers' share in it."""
GATHER_MAX_S = 0.01
"""And for so long in all."""
ALONE = 4
"""So many requests at once are tried alone."""
HASTE_MS = 500
"""For so long requests that share a transaction wait for an account; one that is tried alone waits to its deadline."""

Answer = Receipt | Exception
Tell = Callable[[Sequence[tuple[Any, Answer]]], None]
"""Told who asked, and what the answer is: of all who are told by the same, at once. It must not raise, nor wait."""


class _Waiting(NamedTuple):
    request: Request
    by: By
    who: Any
    tell: Tell
    since: float
    """When it came, by the monotonic clock: its deadline counts from then."""

    def accounts(self) -> set[str]:
        return {leg.account for leg in self.request.legs}


class _Batch(NamedTuple):
    """What shares a transaction."""

    requests: list[_Waiting]
    began: float


class _Sleeper:
    """A thread that waits for its answer, by a bare lock: a Future would have a condition of its own to wait by."""

    __slots__ = ("answer", "asleep")

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self.asleep = threading.Lock()
        self.asleep.acquire()


class Gatherer:
    """Posts for any number of threads. Each that posts opens books, and so a connection, of its own."""

    def __init__(self, open_books: Callable[[], Books]) -> None:
        self._open_books = open_books
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._wanted = 1
        """Who gathers is woken when so many wait."""
        self._expected = 1
        """So many callers were there when a transaction ended: those that it answered, and all others."""
        self._under_way: list[_Batch] = []
        """The newest last."""
        self._held: set[str] = set()
        """Accounts that somebody held for long a moment ago."""
        self._closing = False
        self._turn = threading.Lock()
        """Of the poster that gathers; the others post."""
        self._own = threading.local()
        self._alone = _begun(ALONE, "alone")
        self._posters = [
            threading.Thread(target=self._post, name=f"poster {n}", daemon=True) for n in range(AT_ONCE + 1)
        ]
        for poster in self._posters:
            poster.start()

    def submit(self, request: Request, by: By, who: Any, tell: Tell) -> None:
        """Later, another thread calls `tell` with `who`, whatever that is, and his answer. `by` is for the audit log.

        DatabaseUnavailable when nothing more is taken.
        """
        with self._changed:
            if self._closing:
                raise errors.DatabaseUnavailable(detail="this server is being stopped")
            one = _Waiting(request, by, who, tell, time.monotonic())
            if self._held & one.accounts():
                self._alone.submit(self._post_alone, one)
                return
            self._waiting.append(one)
            if len(self._waiting) == self._wanted:
                self._changed.notify()

    def post_one(self, request: Request, by: By) -> Receipt:
        """As `payments.post_one`, together with others."""
        sleeper = _Sleeper()
        self.submit(request, by, sleeper, _wake)
        sleeper.asleep.acquire()
        if isinstance(sleeper.answer, Receipt):
            return sleeper.answer
        assert sleeper.answer is not None  # noqa: S101 - who is woken was answered
        raise sleeper.answer

    def close(self) -> None:
        """What was taken is posted and answered; nothing more is taken."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for poster in self._posters:
            poster.join()
        self._alone.shutdown()

    def _post(self) -> None:
        while True:
            with self._turn, self._changed:
                some = self._taken()
                if not some:
                    return
                batch = _Batch(some, time.monotonic())
                self._under_way.append(batch)
            try:
                self._answer(some)
            finally:
                with self._changed:
                    self._expected = self._callers()
                    self._under_way.remove(batch)
                    self._changed.notify()

    def _taken(self) -> list[_Waiting]:
        """The next requests; none when all is done."""
        self._wanted = 1
        while not self._waiting and not self._closing:
            self._changed.wait()
        self._wanted = 0
        while not self._closing and (left_s := self._full_s()) > 0:
            self._changed.wait(left_s)
        self._gather()
        return [self._waiting.popleft() for _ in range(min(len(self._waiting), self._share()))]

    def _callers(self) -> int:
        return len(self._waiting) + sum(len(batch.requests) for batch in self._under_way)

    def _at_once(self) -> int:
        return AT_ONCE if max(self._expected, self._callers()) >= AT_ONCE * SHARE_MIN else 1

    def _share(self) -> int:
        """So many callers go into each of the transactions that are under way at once."""
        return min(-(-max(self._expected, self._callers()) // self._at_once()), REQUESTS_MAX)

    def _full_s(self) -> float:
        """For so long no other transaction may begin: as many are under way as may be, and none takes long yet."""
        at_once = self._at_once()
        if len(self._under_way) < at_once:
            return 0
        return self._under_way[-at_once].began + LONG_S - time.monotonic()

    def _gather(self) -> None:
        """Wait as long as more keep coming, up to a share of as many as there were callers."""
        self._wanted = share = self._share()
        came, until = 0, time.monotonic() + GATHER_MAX_S
        while came < len(self._waiting) < share and not self._closing and time.monotonic() < until:
            came = len(self._waiting)
            self._changed.wait(GATHER_S)

    def _answer(self, some: list[_Waiting]) -> None:
        try:
            if self._held:
                some = self._free(some)
            answers = self._posted(some) if some else []
        except Exception as error:
            self._failed(some, error)
            return
        _tell(some, answers)

    def _free(self, some: list[_Waiting]) -> list[_Waiting]:
        """Those that name no account that is held for long: whoever holds one may hold thousands."""
        asked = _accounts(some) | self._held
        books = self._books(patient=False)
        try:
            held = books.database.transact(locks.held, books.ledger, asked, books.database.limits.lock_ms / 1000)
        except errors.LedgerError:  # which says nothing of the requests: they are not sent yet
            return some
        with self._changed:
            self._held -= asked - held
        return self._without(some, held)

    def _without(self, some: list[_Waiting], held: set[str]) -> list[_Waiting]:
        """The others; those that name one of the accounts are tried alone."""
        others = []
        for one in some:
            if held & one.accounts():
                self._alone.submit(self._post_alone, one)
            else:
                others.append(one)
        return others

    def _failed(self, some: list[_Waiting], error: Exception) -> None:
        if isinstance(error, errors.DatabaseUnavailable) or not isinstance(error, errors.LedgerError):
            _tell(some, [error] * len(some))
            return
        if len(some) == 1 and not isinstance(error, errors.Busy):
            _tell(some, [error])
            return
        named = _accounts(some)
        held = named & _account(error)
        with self._changed:
            self._held |= held
            self._waiting.extendleft(reversed(self._without(some, held or named)))

    def _post_alone(self, one: _Waiting) -> None:
        try:
            answers: Sequence[Answer] = self._posted_alone(one)
        except Exception as error:
            answers = [error]
        if not isinstance(answers[0], errors.Busy):
            with self._changed:
                self._held -= one.accounts()
        _tell([one], answers)

    def _posted_alone(self, one: _Waiting) -> Sequence[Answer]:
        books = self._books(patient=True)
        waited_s = time.monotonic() - one.since
        left_s = self._own.settings.deadline_s - waited_s
        if left_s <= 0:
            raise errors.Busy(
                attempts=0, waited_s=round(waited_s, 1), detail="others wait for its accounts", holder=None
            )
        books.database.settings = replace(self._own.settings, deadline_s=left_s)
        return payments.post_each(books, [one.request], {one.request.id: one.by})

    def _posted(self, some: Sequence[_Waiting]) -> list[Receipt | errors.LedgerError]:
        by = {one.request.id: one.by for one in some}
        return payments.post_each(self._books(patient=False), [one.request for one in some], by)

    def _books(self, *, patient: bool) -> Books:
        """Of this thread."""
        if not hasattr(self._own, "books"):
            self._own.books = books = self._open_books()
            self._own.settings = settings = books.database.settings
            if not patient:
                books.database.patient = False
                books.database.settings = replace(settings, lock_timeout_ms=min(settings.lock_timeout_ms, HASTE_MS))
        found: Books = self._own.books
        return found


def _begun(threads: int, name: str) -> ThreadPoolExecutor:
    """With all its threads: RuntimeError here where the system gives no more, and not when a request needs one."""
    pool, all_there = ThreadPoolExecutor(threads, name), threading.Barrier(threads)
    try:
        for _ in range(threads):
            pool.submit(all_there.wait)
    except RuntimeError:
        all_there.abort()
        raise
    return pool


def _account(error: errors.LedgerError) -> set[str]:
    """The account that somebody holds, if that is why, and is known."""
    holder = error.details["holder"] if isinstance(error, errors.Busy) else None
    return {holder["account"]} if holder and holder["account"] else set()


def _accounts(some: Iterable[_Waiting]) -> set[str]:
    return {account for one in some for account in one.accounts()}


def _tell(some: Sequence[_Waiting], answers: Sequence[Answer]) -> None:
    together: dict[Tell, list[tuple[Any, Answer]]] = {}
    for one, answer in zip(some, answers, strict=True):
        together.setdefault(one.tell, []).append((one.who, answer))
    for tell, told in together.items():
        tell(told)


def _wake(told: Sequence[tuple[_Sleeper, Answer]]) -> None:
    for sleeper, answer in told:
        sleeper.answer = answer
        sleeper.asleep.release()
