"""What surrounds the command line: its configuration, its place in PATH, and what it left on this machine."""

from __future__ import annotations

import os
import shlex
import stat
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from ledgerctl import pending
from ledgerctl.cli import completion, output
from ledgerctl.config import Configuration, Settings
from ledgerctl.errors import BadConfig, NotConfigured
from ledgerctl.services import setup
from ledgerctl.services.findings import Finding, Verdict, ok, problem, warning

NAME = "ledgerctl"
_UNLIMITED = {
    "statement_timeout_ms": "a server that stands still is waited for without end",
    "idle_timeout_ms": "a command that stands still keeps its accounts locked",
}


def examine(configuration: Configuration) -> list[Finding]:
    return [
        Finding("configuration", *_configuration(configuration)),
        *(Finding("settings", *verdict) for verdict in _settings(configuration)),
        Finding("password", *_password(configuration)),
        Finding("program", *_program()),
        *(Finding("completions", *verdict) for verdict in _completions()),
        Finding("requests", *_requests(configuration)),
    ]


def _configuration(configuration: Configuration) -> Verdict:
    url, origin = configuration.settings.database.url, configuration.origins.get("database.url", "")
    profile = f", profile {configuration.profile}" if configuration.profile else ""
    used = f"{configuration.file or 'no file'}{profile}"
    if not url:
        return problem(f"{used}: no database.url", NotConfigured.hint)
    if _carries_password(url) is None:  # nor is it shown: who knows where in it the password is
        return problem(f"{used}: database.url, from {origin}, is no PostgreSQL URL and not embedded:DIR", "mend it")
    return ok(f"{used}: database.url is {output.masked(url)}, from {origin}")


def _settings(configuration: Configuration) -> list[Verdict]:
    """Which are not the default, and where they were made; those that let somebody wait without end."""
    origins = configuration.origins
    unlimited = [
        warning(f"database.{name} is 0, from {origins[f'database.{name}']}: {cost}", "leave it out, or give it a limit")
        for name, cost in _UNLIMITED.items()
        if not getattr(configuration.settings.database, name)
    ]
    made: dict[str, list[str]] = {}
    for name in _changed(configuration.settings):
        made.setdefault(origins[name], []).append(name)
    words = "; ".join(f"{', '.join(names)} from {origin}" for origin, names in made.items())
    return unlimited or [ok(words or "all are the default")]


def _changed(settings: Settings) -> Iterator[str]:
    """The names of those that differ from the default."""
    default = asdict(Settings())
    for section, values in asdict(settings).items():
        for key, value in values.items() if isinstance(values, dict) else [("", values)]:
            name = f"{section}.{key}" if key else section
            if value != (default[section][key] if key else default[section]):
                yield name


def _password(configuration: Configuration) -> Verdict:
    file, origin = configuration.file, configuration.origins.get("database.url", "")
    if not _carries_password(configuration.settings.database.url):
        return ok("none in database.url")
    if file is None or not origin.startswith(str(file)):
        return ok(f"in database.url, from {origin}")
    if (mode := stat.S_IMODE(file.stat().st_mode)) & 0o077:
        found = f"stands in {file}, which others may read or change (its mode is {mode:o})"
        return problem(found, f"chmod 600 {shlex.quote(str(file))}; change the password")
    return ok(f"in {file}, for its owner only")


def _carries_password(url: str) -> bool | None:
    """None for what is no URL at all."""
    try:
        return setup.has_password(url)
    except BadConfig:
        return None


def _program() -> Verdict:
    """Another program of this name is called by whoever says just `ledgerctl`: a shell, cron, a script."""
    running = Path(sys.argv[0]).absolute()
    if running.name != NAME:  # python -m ledgerctl
        running = Path(sysconfig.get_path("scripts")) / NAME
    places = (Path(directory) / NAME for directory in os.get_exec_path())
    first = next((place for place in places if os.access(place, os.X_OK) and place.is_file()), None)
    if first is not None and first.resolve() != running.resolve():
        remedy = f"put {running.parent} first in PATH, or call {running}"
        return warning(f"PATH leads to {first}, and this is {running}", remedy)
    return ok(str(running))


def _completions() -> list[Verdict]:
    """A script that was installed once does not know of what came since."""
    found = list(completion.installed())
    other = [
        warning(f"{file} is of another version", f"ledgerctl completion {shell} > {shlex.quote(str(file))}")
        for shell, file in found
        if not _is_ours(shell, file)
    ]
    return other or [ok(", ".join(str(file) for _, file in found) or "none is installed where shells look")]


def _is_ours(shell: str, file: Path) -> bool:
    try:
        return file.read_bytes() == completion.script(shell).encode()
    except OSError:
        return False


def _requests(configuration: Configuration) -> Verdict:
    """Nothing is sent that cannot be kept, and what is kept names accounts and amounts."""
    try:
        place = pending.place(configuration.state_directory)
        lost = pending.lost(configuration.state_directory)
    except BadConfig as error:
        return problem(error.details["detail"], error.advice)
    there = next(directory for directory in (place, *place.parents) if directory.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        return problem(f"{there} cannot be written, so nothing can be sent", "name another in [state] directory")
    if lost:
        return warning(f"{lost} in {place} have no known outcome", "ledgerctl resolve")
    if place.exists() and (mode := stat.S_IMODE(place.stat().st_mode)) & 0o077:
        return warning(f"others may look into {place} (its mode is {mode:o})", f"chmod 700 {shlex.quote(str(place))}")
    return ok(f"none is left in {place}")
