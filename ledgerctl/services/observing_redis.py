"""Whether Redis answers, for those who watch."""

from __future__ import annotations

from ledgerctl import metrics
from ledgerctl.cache import Away
from ledgerctl.cache.server import Server
from ledgerctl.config import Redis
from ledgerctl.errors import LedgerError
from ledgerctl.metrics import Samples

ANSWER_S = 0.05
"""So long it is waited for, and twice as long to connect, whatever it is that hangs."""
_NOTHING = "ledgerctl:observed"
"""A name at which nothing is kept: it is looked up as a balance is."""


class Watch:
    """Asks on a connection of its own each time, so that one that was cut off is not taken for a Redis that is gone.

    For one thread at a time. As everybody does, it leaves Redis alone for a while after several failures in a row.
    """

    def __init__(self, settings: Redis) -> None:
        """BadConfig for what is no address."""
        self._server = Server(settings.url, min(settings.timeout_ms / 1000, ANSWER_S))
        self._trouble = ""

    def samples(self) -> Samples:
        up = not self.trouble()
        return {(metrics.REDIS_UP, ()): up, (metrics.REDIS_RESTING, ()): self._server.resting}

    def trouble(self) -> str:
        """Why nothing can be had from Redis now; empty when it answers. The first time, the library is loaded."""
        if self._server.resting:
            return self._trouble
        try:
            self._server.get(_NOTHING)
        except (Away, LedgerError) as error:
            self._trouble = f"Redis cannot be reached: {error}"
        else:
            self._trouble = ""
        finally:
            self._server.close()
        return self._trouble
