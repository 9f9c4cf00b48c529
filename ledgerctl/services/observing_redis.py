"""Whether Redis answers, for those who watch: nobody waits for it longer than WAIT_S, whatever it is that hangs."""

from __future__ import annotations

from threading import Thread

from ledgerctl import metrics
from ledgerctl.cache import Away
from ledgerctl.cache.server import Server
from ledgerctl.config import Redis
from ledgerctl.errors import LedgerError
from ledgerctl.metrics import Samples

WAIT_S = 0.1
FIRST_S = 5.0
"""So long at the start, before anybody asks: the library has to be loaded, which may take longer than WAIT_S."""
_NOTHING = "ledgerctl:observed"
"""A name at which nothing is kept: it is looked up as a balance is."""
_NO_ANSWER = f"Redis has not answered within {WAIT_S} s"


class Watch:
    """Asks on a connection of its own each time, so that one that was cut off is not taken for a Redis that is gone.

    For one thread at a time. As everybody does, it leaves Redis alone for a while after several failures in a row.
    """

    def __init__(self, settings: Redis) -> None:
        """BadConfig for what is no address."""
        self._server = Server(settings.url, min(settings.timeout_ms / 1000, WAIT_S))
        self._trouble = ""
        self._asking: Thread | None = None

    def begin(self) -> None:
        self._asked(FIRST_S)

    def samples(self) -> Samples:
        up = not self.trouble()
        return {(metrics.REDIS_UP, ()): up, (metrics.REDIS_RESTING, ()): self._server.resting}

    def trouble(self) -> str:
        """Why nothing can be had from Redis now; empty when it answers."""
        return self._asked(WAIT_S)

    def _asked(self, wait_s: float) -> str:
        if self._asking is None or not self._asking.is_alive():
            if self._server.resting:
                return self._trouble
            # No timeout bounds a resolver: a thread that nobody need wait for.
            self._asking = Thread(target=self._ask, name="redis", daemon=True)
            self._asking.start()
        self._asking.join(wait_s)
        return _NO_ANSWER if self._asking.is_alive() else self._trouble

    def _ask(self) -> None:
        self._trouble = _NO_ANSWER
        try:
            self._server.get(_NOTHING)
        except (Away, LedgerError) as error:
            self._trouble = f"Redis cannot be reached: {error}"
        else:
            self._trouble = ""
        finally:
            self._server.close()
