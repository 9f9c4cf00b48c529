"""What a run leaves for Prometheus, and the two ways to leave it: a Pushgateway, and a textfile.

Loaded only once somebody asked for it: loading prometheus_client takes longer than most commands do.
"""

from __future__ import annotations

import base64
import fcntl
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import mkstemp
from threading import Thread
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from prometheus_client import generate_latest, pushadd_to_gateway
from prometheus_client.parser import text_string_to_metric_families

from ledgerctl import metrics
from ledgerctl.config import without_login
from ledgerctl.exposition import Values, registry
from ledgerctl.metrics import Samples

TIMEOUT_S = 3
"""What a job waits at most until its metrics are where they belong."""

ANSWER_MAX = 200
"""Characters shown of what a gateway says; of a page of HTML nobody wants more."""


@dataclass(frozen=True, slots=True)
class JobResult:
    """How one run of a job ended. Times are in seconds since 1970; what is None was not found out."""

    job: str
    ledger: str
    started_at: float
    finished_at: float
    exit_code: int
    outcomes: Mapping[str, int] = field(default_factory=dict)
    """Requests by what became of them: posted, replayed, refused."""
    retries: int | None = None
    lock_wait_s: float | None = None
    cache_requests: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """What was asked of Redis, by use and what came of it: (balances, hit), (outcomes, miss)."""
    findings: int | None = None
    open_items: int | None = None
    oldest_open_age_s: float | None = None
    oldest_statement_at_s: float | None = None


def report(result: JobResult, gateway: str, textfile: Path | None) -> list[str]:
    """Push the result to the gateway and write it to the file, of which either may be empty.

    Nothing is raised: what went wrong is a sentence each, without the login that the gateway's URL may hold. It takes
    no longer than TIMEOUT_S. What this run did not find out, such as a last success if it failed, stays as it was.
    """
    ways: dict[str, Callable[[], None]] = {}
    if gateway:
        ways[f"pushed to {without_login(gateway)}"] = partial(_push, result, gateway)
    if textfile is not None:
        ways[f"written to {textfile}"] = partial(_write, result, textfile)
    return [f"the metrics of this run were not {way}: {why}" for way, why in _failed(ways).items()]


def unready(gateway: str, textfile: Path | None) -> dict[str, str]:
    """Why a report could not be pushed or written now: by way, nothing where it could. Changes nothing."""
    ways: dict[str, Callable[[], None]] = {}
    if gateway:
        ways["pushgateway"] = partial(_ask, gateway)
    if textfile is not None:
        ways["textfile"] = partial(_try_directory, textfile)
    return _failed(ways)


_NO_ANSWER = f"no answer within {TIMEOUT_S} s"


def _failed(ways: Mapping[str, Callable[[], None]]) -> dict[str, str]:
    """Go all ways at once: those that failed or came to no end in time, and why."""
    failed = dict.fromkeys(ways, _NO_ANSWER)

    def go(name: str, way: Callable[[], None]) -> None:
        try:
            way()
        except Exception as error:  # whatever it is: a job that has done its work does not fail over its metrics
            failed[name] = _reason(error)
        else:
            del failed[name]

    # In threads that nobody need wait for: no timeout bounds a resolver, or a gateway that sends a byte now and then.
    threads = [Thread(target=go, args=way, daemon=True) for way in ways.items()]
    deadline = time.monotonic() + TIMEOUT_S
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(failed)


def _reason(error: Exception) -> str:
    """Why, in one line."""
    cause = error.reason if isinstance(error, URLError) and isinstance(error.reason, OSError) else error
    if isinstance(cause, TimeoutError):
        return _NO_ANSWER
    words = cause.strerror if isinstance(cause, OSError) else ""
    return " ".join((words or str(cause) or type(cause).__name__).split())


# -- what is left ----------------------------------------------------------------------------------------------------


def _samples(result: JobResult) -> Samples:
    found: dict[metrics.Metric, float | None] = {
        metrics.LAST_RUN: result.finished_at,
        metrics.LAST_SUCCESS: result.finished_at if result.exit_code == 0 else None,
        metrics.DURATION: max(0.0, result.finished_at - result.started_at),
        metrics.EXIT_CODE: result.exit_code,
        metrics.RETRIES: result.retries,
        metrics.LOCK_WAIT: result.lock_wait_s,
        metrics.FINDINGS: result.findings,
        metrics.OPEN_ITEMS: result.open_items,
        metrics.OLDEST_OPEN_ITEM: result.oldest_open_age_s,
        metrics.OLDEST_STATEMENT: result.oldest_statement_at_s,
    }
    return {
        **{(metric, ()): float(value) for metric, value in found.items() if value is not None},
        **{(metrics.OUTCOMES, (outcome,)): float(count) for outcome, count in result.outcomes.items()},
        **{(metrics.CACHE_REQUESTS, asked): float(count) for asked, count in result.cache_requests.items()},
    }


# -- the Pushgateway -------------------------------------------------------------------------------------------------


def _push(result: JobResult, gateway: str) -> None:
    """By POST, which leaves alone what is not sent. The gateway itself puts the labels of the group on it."""
    url = _split(gateway)
    place = url.netloc.rpartition("@")[2]
    pushadd_to_gateway(
        f"{url.scheme}://{place}{url.path}",
        result.job,
        registry(Values(_samples(result))),
        {"ledger": result.ledger},
        timeout=TIMEOUT_S,
        handler=partial(_request, url),
    )


def _ask(gateway: str) -> None:
    """Whether it is ready, asked as it is pushed to."""
    url = _split(gateway)
    place = f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path.rstrip('/')}"
    _request(url, url=f"{place}/-/ready", method="GET", timeout=TIMEOUT_S, headers=(), data=None)()


def _split(gateway: str) -> SplitResult:
    """ValueError for what is no http or https URL, without a word of it: it may hold a password."""
    try:
        url = urlsplit(gateway)
        good = url.scheme in ("http", "https") and url.hostname and (url.port or True)
    except ValueError:
        good = False
    if not good or url.query or url.fragment or re.search(r"[^\x21-\x7e]", gateway):
        raise ValueError("it must be a URL such as http://127.0.0.1:9091")
    return url


class _NoRedirect(HTTPRedirectHandler):
    """A redirected POST would go on as a GET, which stores nothing and looks like success."""

    def redirect_request(self, *_args: object) -> None:
        return None


def _request(
    login: SplitResult, *, url: str, method: str, timeout: float, headers: Sequence[tuple[str, str]], data: bytes | None
) -> Callable[[], None]:
    """The library's own handler, without proxies and redirects, and with a login."""
    request = Request(url, data, dict(headers), method=method)  # noqa: S310 - of http or https, see _split
    if login.username is not None:
        user, password = unquote(login.username), unquote(login.password or "")
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    # A gateway stands beside its jobs: a proxy of the environment could reach none of the loopback interface.
    opener = build_opener(ProxyHandler({}), _NoRedirect)

    def push() -> None:
        try:
            opener.open(request, timeout=timeout).close()
        except HTTPError as refusal:
            with refusal:
                answer = " ".join(refusal.read(4 * ANSWER_MAX).decode(errors="replace").split())
            raise OSError(f"{refusal.code} {refusal.reason}: {answer[:ANSWER_MAX]}") from None

    return push


# -- the textfile ----------------------------------------------------------------------------------------------------


def _write(result: JobResult, textfile: Path) -> None:
    """Whole or not at all, and readable for everybody. Labelled, since all files of a machine are read as one."""
    labels = {"job": result.job, "ledger": result.ledger}
    with _locked(textfile.parent):
        samples = _samples(result)
        told = {metric for metric, _ in samples}  # with all its labels, as at a gateway
        former = {place: value for place, value in _former(textfile, labels).items() if place[0] not in told}
        descriptor, name = mkstemp(prefix=f".{textfile.name}.", dir=textfile.parent)  # no name that is scraped
        part = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as out:
                os.fchmod(out.fileno(), 0o644)
                out.write(generate_latest(registry(Values({**former, **samples}, labels))))
            part.replace(textfile)
        finally:
            part.unlink(missing_ok=True)


def _try_directory(textfile: Path) -> None:
    """It is written beside the old one, which it then replaces: both are up to the directory."""
    if not os.access(textfile.parent, os.R_OK | os.W_OK | os.X_OK):
        raise OSError(f"{textfile.parent} is not there, or you may not write in it")


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One writer at a time: another's success, written after the file was read, would be lost."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _former(textfile: Path, labels: Mapping[str, str]) -> Samples:
    """What the file says of this job and ledger; nothing if it is not there, or damaged."""
    try:
        families = list(text_string_to_metric_families(textfile.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
    known = {metric.name: metric for metric in metrics.OF_RUNS}
    return {
        (known[sample.name], tuple(value for name, value in sample.labels.items() if name not in labels)): sample.value
        for family in families
        for sample in family.samples
        if sample.name in known and labels.items() <= sample.labels.items() and math.isfinite(sample.value)
    }
