"""What was answered, for Prometheus, by the route's template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from threading import Lock

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from ledgerctl import metrics
from ledgerctl.exposition import Values, registry, understood
from ledgerctl.metrics import Samples
from ledgerctl.services.observing import Observatory


class Counts(Collector):
    """Of this process; what stands in the books is beside it."""

    def __init__(self, observatory: Observatory, of_redis: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        self._observatory, self._of_redis = observatory, of_redis
        self._lock = Lock()
        self._answers: Counter[tuple[str, str, str]] = Counter()
        self._seconds: Counter[tuple[str]] = Counter()
        self._registry = registry(self)

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """One answer."""
        with self._lock:
            self._answers[route, method, str(status)] += 1
            self._seconds[(route,)] += seconds  # type: ignore[assignment]  # seconds, not a number of them

    def exposed(self, accept: str) -> tuple[bytes, str]:
        """As the Accept header wants it, and what that is."""
        encoder, media_type = choose_encoder(understood(accept))
        return encoder(self._registry), media_type

    def collect(self) -> Iterable[Family]:
        with self._lock:
            ours: Samples = {
                **{(metrics.HTTP_REQUESTS, labels): number for labels, number in self._answers.items()},
                **{(metrics.HTTP_SECONDS, labels): seconds for labels, seconds in self._seconds.items()},
                **{(metrics.HTTP_CACHE, labels): number for labels, number in self._of_redis().items()},
            }
        return Values({**self._observatory.samples(), **ours}).collect()

    def describe(self) -> Iterable[Family]:
        return map(Values({}).family, (*metrics.OF_BOOKS, *metrics.OF_API))
