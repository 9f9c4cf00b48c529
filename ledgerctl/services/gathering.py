"""Single requests of many callers at once, gathered into transactions, each answered with its own outcome.

While one transaction is on its way, the next gathers: the more callers there are, the more share it, and one of sixteen
costs three quarters of two of eight. A request is refused by itself. What stops a whole transaction - an account that
somebody holds, a text that the server refuses - is told to nobody before each of its requests was tried alone, so that
none of them suffers for another.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from ledgerctl import errors
from ledgerctl.core.model import Request
from ledgerctl.db.audit import By
from ledgerctl.services import payments
from ledgerctl.services.books import Books
from ledgerctl.services.payments import Receipt

POSTERS = 2
"""So many transactions at once, at most."""
LONG_S = 0.05
"""The next does not wait for one that takes longer: that may be waiting for somebody's account."""
REQUESTS_MAX = 500
"""In one transaction: longer ones hold their accounts for longer."""
GATHER_S = 0.002
"""For so long a transaction waits for one more request, while fewer have come than there were callers the last time."""
GATHER_MAX_S = 0.01
"""And for so long in all."""
ALONE = 4
"""So many requests at once are tried alone."""


class _Waiting(NamedTuple):
    request: Request
    by: By
    receipt: Future[Receipt]


class Gatherer:
    """Posts for any number of threads. Each that posts opens books, and so a connection, of its own."""

    def __init__(self, open_books: Callable[[], Books], posters: int = POSTERS) -> None:
        self._open_books = open_books
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._wanted = 1
        """Who gathers is woken when so many wait."""
        self._expected = 1
        """So many callers were there when a transaction ended: those that it answered, and those that waited."""
        self._began: float | None = None
        """When the last transaction began, while it is on its way."""
        self._closing = False
        self._turn = threading.Lock()
        """Of the poster that gathers; the others post."""
        self._own = threading.local()
        self._alone = ThreadPoolExecutor(ALONE, "alone")
        self._posters = [threading.Thread(target=self._post, name=f"poster {n}", daemon=True) for n in range(posters)]
        for poster in self._posters:
            poster.start()

    def submit(self, request: Request, by: By) -> Future[Receipt]:
        """Its receipt, or the error that it ends with, later. `by` says who asks."""
        receipt: Future[Receipt] = Future()
        with self._changed:
            if self._closing:
                raise errors.DatabaseUnavailable(detail="this server is being stopped")
            self._waiting.append(_Waiting(request, by, receipt))
            if len(self._waiting) == self._wanted:
                self._changed.notify()
        return receipt

    def post_one(self, request: Request, by: By) -> Receipt:
        """As `payments.post_one`, together with others."""
        return self.submit(request, by).result()

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
                began = self._began = time.monotonic()
            if not some:
                return
            # From here on nobody can take his request back: it is posted, and told to him if he is still there.
            if asked := [one for one in some if one.receipt.set_running_or_notify_cancel()]:
                self._answer(asked)
            with self._changed:
                self._expected = len(some) + len(self._waiting)
                if self._began == began:
                    self._began = None
                    self._changed.notify()

    def _taken(self) -> list[_Waiting]:
        """The next requests; none when all is done."""
        self._wanted = 1
        while not self._waiting and not self._closing:
            self._changed.wait()
        self._wanted = 0
        while self._began and not self._closing and (left_s := self._began + LONG_S - time.monotonic()) > 0:
            self._changed.wait(left_s)
        self._gather()
        return [self._waiting.popleft() for _ in range(min(len(self._waiting), REQUESTS_MAX))]

    def _gather(self) -> None:
        """Wait as long as more keep coming, up to as many as there were callers."""
        self._wanted, came, until = self._expected, 0, time.monotonic() + GATHER_MAX_S
        while came < len(self._waiting) < self._expected and not self._closing and time.monotonic() < until:
            came = len(self._waiting)
            self._changed.wait(GATHER_S)

    def _answer(self, some: list[_Waiting]) -> None:
        try:
            answers = self._posted(some)
        except Exception as error:
            self._failed(some, error)
            return
        for one, answer in zip(some, answers, strict=True):
            _answer(one.receipt, answer)

    def _failed(self, some: list[_Waiting], error: Exception) -> None:
        if len(some) == 1 or isinstance(error, errors.DatabaseUnavailable) or not isinstance(error, errors.LedgerError):
            for one in some:
                one.receipt.set_exception(error)
            return
        for one in some:
            self._alone.submit(self._post_alone, one)

    def _post_alone(self, one: _Waiting) -> None:
        try:
            [answer] = self._posted([one])
        except Exception as error:
            one.receipt.set_exception(error)
            return
        _answer(one.receipt, answer)

    def _posted(self, some: Sequence[_Waiting]) -> list[Receipt | errors.LedgerError]:
        by = {one.request.id: one.by for one in some}
        return payments.post_each(self._books(), [one.request for one in some], by)

    def _books(self) -> Books:
        """Of this thread."""
        if not hasattr(self._own, "books"):
            self._own.books = self._open_books()
        books: Books = self._own.books
        return books


def _answer(receipt: Future[Receipt], answer: Receipt | errors.LedgerError) -> None:
    if isinstance(answer, errors.LedgerError):
        receipt.set_exception(answer)
    else:
        receipt.set_result(answer)
