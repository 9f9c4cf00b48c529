"""Values by metric, as prometheus_client writes them out. Loading that takes longer than most commands do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import (
    Metric as Family,
)
from prometheus_client.registry import Collector

from ledgerctl.metrics import Metric, Samples


class Values(Collector):
    """Plain values: the library's own Gauge may keep files for several processes, if the environment says so."""

    def __init__(self, samples: Samples, labels: Mapping[str, str] | None = None) -> None:
        """`labels` are put on every sample, before the metric's own."""
        self._samples, self._labels = samples, labels or {}

    def collect(self) -> Iterable[Family]:
        families: dict[Metric, GaugeMetricFamily | CounterMetricFamily | InfoMetricFamily] = {}
        for (metric, values), number in self._samples.items():
            if metric not in families:
                families[metric] = self.family(metric)
            family = families[metric]
            if isinstance(family, InfoMetricFamily):
                family.add_metric([], dict(zip(metric.labels, values, strict=True)))
            else:
                family.add_metric([*self._labels.values(), *values], number)
        yield from families.values()

    def family(self, metric: Metric) -> GaugeMetricFamily | CounterMetricFamily | InfoMetricFamily:
        """Without a sample yet."""
        labels = [*self._labels, *metric.labels]
        match metric.kind:
            case "gauge":
                return GaugeMetricFamily(metric.name, metric.help, labels=labels, unit=metric.unit)
            case "counter":
                return CounterMetricFamily(metric.name, metric.help, labels=labels, unit=metric.unit)
            case "info":
                return InfoMetricFamily(metric.name, metric.help)


def registry(*collectors: Collector) -> CollectorRegistry:
    """One of its own: the library's default one would add what the process is made of."""
    made = CollectorRegistry()
    for collector in collectors:
        made.register(collector)
    return made


def understood(accept: str) -> str:
    """An Accept header that the library can read: one without sense is none."""
    try:
        choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is no number
        return ""
    return accept
