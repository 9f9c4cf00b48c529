"""Names that Prometheus expects, and none twice."""

from __future__ import annotations

from ledgerctl import metrics


def test_every_metric_is_declared_once_with_its_help_and_its_unit_in_its_name() -> None:
    names = [one.name for one in metrics.DECLARED]

    assert len(set(names)) == len(names)
    for one in metrics.DECLARED:
        assert one.help.endswith(".")
        assert one.name.startswith("ledgerctl_")
        assert one.name.endswith("_total") == (one.kind == "counter")
        assert one.name.removesuffix("_total").endswith(f"_{one.unit}" if one.unit else "")
        assert not one.unit or one.name.count(one.unit) == 1


def test_no_label_tells_of_somebody() -> None:
    labels = {label for one in metrics.DECLARED for label in one.labels}

    of_books = {"ledger", "kind", "outcome", "currency", "reason", "status", "version", "schema"}
    assert labels == of_books | {"state", "use", "result"} | {"route", "method"}
