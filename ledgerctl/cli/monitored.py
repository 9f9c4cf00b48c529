"""Whether what a job leaves for Prometheus would get there, tried as the job does it, and without leaving anything.

It costs the metrics, not the run: a warning. Only a file that no collector reads stops a job before it begins.
"""

from __future__ import annotations

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
    wrong = _wrong(gateway, textfile) if gateway or textfile is not None else {}
    file = "" if textfile is None else str(textfile)
    if textfile is not None and not collected(textfile):
        wrong["textfile"] = problem(f"{file} does not end in .prom: no collector reads it", "call it *.prom")
    places = {"pushgateway": without_login(gateway), "textfile": file}
    return [Finding(way, *wrong.get(way, ok(place or "none is configured"))) for way, place in places.items()]


def _wrong(gateway: str, textfile: Path | None) -> dict[str, Verdict]:
    """Of what is named, what would get nowhere."""
    places = {"pushgateway": without_login(gateway), "textfile": textfile}
    try:
        from ledgerctl import pushing
    except Exception as error:  # whatever it is, it costs a job its metrics
        broken = warning(f"the library does not load: {error}", "pip install --force-reinstall prometheus-client")
        return {way: broken for way, place in places.items() if place}
    return {
        way: warning(f"{places[way]}: {why}", _REMEDIES[way]) for way, why in pushing.unready(gateway, textfile).items()
    }
