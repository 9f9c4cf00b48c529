"""Whether what a job leaves for Prometheus would get there, tried as the job does it, and without leaving anything.

It costs the metrics, not the run: a warning. Only a file that no collector reads stops a job before it begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ledgerctl.cli.jobs import collected
from ledgerctl.config import Configuration, without_login
from ledgerctl.services.findings import Finding, Verdict, ok, problem, warning

_REMEDIES = {
    "pushgateway": "see that it runs, and what [metrics] pushgateway says: ledgerctl config show --origin",
    "textfile": "name a file in the directory of node_exporter's textfile collector, which its jobs may write in",
}


def examine(configuration: Configuration) -> list[Finding]:
    gateway, textfile = configuration.settings.metrics.pushgateway, configuration.metrics_textfile
    why = _unready(gateway, textfile) if gateway or textfile is not None else {}
    return [
        Finding("pushgateway", *_verdict("pushgateway", without_login(gateway), why)),
        Finding("textfile", *_of_textfile(textfile, why)),
    ]


def _of_textfile(textfile: Path | None, why: Mapping[str, str]) -> Verdict:
    if textfile is not None and not collected(textfile):
        return problem(f"{textfile} does not end in .prom: no collector reads it, and jobs refuse it", "call it *.prom")
    return _verdict("textfile", "" if textfile is None else str(textfile), why)


def _verdict(way: str, place: str, why: Mapping[str, str]) -> Verdict:
    if not place:
        return ok("none is configured")
    return warning(f"{place}: {why[way]}", _REMEDIES[way]) if way in why else ok(place)


def _unready(gateway: str, textfile: Path | None) -> dict[str, str]:
    """By way, why nothing can be left there."""
    try:
        from ledgerctl import pushing
    except Exception as error:  # whatever it is, it costs a job its metrics
        return dict.fromkeys(_REMEDIES, f"the library does not load: {error}")
    return pushing.unready(gateway, textfile)
