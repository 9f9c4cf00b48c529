"""Traces: which ones are taken up, where their id goes, what is sent, and that sending costs no answer."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
import typer
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from ledgerctl import errors, tracing
from ledgerctl.cli.app import app
from ledgerctl.core import money, requesting
from ledgerctl.core.model import NewAccount, Request
from ledgerctl.db.connection import Connection
from ledgerctl.errors import Exit
from ledgerctl.ids import uuid7
from ledgerctl.services import accounts, payments
from ledgerctl.services.books import Books
from ledgerctl.tracing import Caller, Trace
from tests.collectors import Collector, attributes, collecting
from tests.conftest import Run

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
STEPS = ["lock wait", "decide", "write", "commit"]

Ledgerctl = Callable[..., Run]


@pytest.fixture
def funded(books: Books) -> Books:
    """bank owes alice 100.00 EUR; bob has nothing."""
    new = [NewAccount("bank", "asset", "EUR", 2, None, None, None, None)]
    new += [NewAccount(code, "liability", "EUR", 2, None, Decimal(0), None, None) for code in ("alice", "bob")]
    accounts.create(books, new)
    payments.post_one(books, transfer("bank", "alice", "100", "deposit"))
    return books


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture
def trace() -> Iterator[Trace]:
    """A trace of this process, whose spans nobody fetches."""
    trace = tracing.begin({"TRACEPARENT": TRACEPARENT, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    assert trace is not None
    yield trace
    tracing.begin({})


def transfer(source: str, target: str, amount: str, key: str) -> Request:
    return requesting.transfer(uuid7(), key, source, target, money.parse(amount))


def audited(conn: Connection) -> list[tuple[str, str, str | None]]:
    """The lines of the audit log after those of the beginning."""
    return conn.execute(
        "SELECT action, outcome, trace_id FROM audit_logs WHERE request_id <> 'request-1' AND request_id <> 'template'"
        " ORDER BY id"
    ).fetchall()


def noted(trace: Trace) -> list[tuple[str, str, str]]:
    """Of each span its name, that of the span it is in, and its error."""
    return [(span.name, span.parent.name if span.parent else "", span.error) for span in trace.spans or ()]


def below(spans: list[Span], parent: Span) -> list[Span]:
    return sorted(
        (one for one in spans if one.parent_span_id == parent.span_id), key=lambda one: one.start_time_unix_nano
    )


def named(spans: list[Span], name: str) -> list[Span]:
    return [one for one in spans if one.name == name]


# -- which traces are taken up ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        (TRACEPARENT, Caller(TRACE, PARENT, sampled=True)),
        (f"00-{TRACE}-{PARENT}-00", Caller(TRACE, PARENT, sampled=False)),
        (f"00-{TRACE}-{PARENT}-03", Caller(TRACE, PARENT, sampled=True)),  # of other flags this level knows nothing
        (f"00-{TRACE}-{PARENT}-fe", Caller(TRACE, PARENT, sampled=False)),
        (f"cc-{TRACE}-{PARENT}-01", Caller(TRACE, PARENT, sampled=True)),
        (f"cc-{TRACE}-{PARENT}-01-what the future holds", Caller(TRACE, PARENT, sampled=True)),
        (f"cc-{TRACE}-{PARENT}-01-", Caller(TRACE, PARENT, sampled=True)),
        (f"cc-{TRACE}-{PARENT}-01.more", None),
        (f"cc-{TRACE}-{PARENT}-0", None),
        (f"ff-{TRACE}-{PARENT}-01", None),
        (f"00-{TRACE}-{PARENT}-01-more", None),
        (f"00-{TRACE}-{PARENT}-01-", None),
        (f"00-{TRACE.upper()}-{PARENT}-01", None),
        (f"00-{TRACE}-{PARENT.upper()}-01", None),
        (f"0A-{TRACE}-{PARENT}-01", None),
        (f"00-{TRACE}-{PARENT}-0A", None),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE[1:]}-{PARENT}-01", None),
        (f"00-{TRACE}0-{PARENT}-01", None),
        (f"00-{TRACE}-{PARENT[1:]}-01", None),
        (f"00_{TRACE}_{PARENT}_01", None),
        (f" {TRACEPARENT}", None),
        (f"{TRACEPARENT}\n", None),
        (f"00-{TRACE[:-1]}\N{FULLWIDTH DIGIT ONE}-{PARENT}-01", None),
        ("00-" * 20_000, None),
        ("", None),
    ],
)
def test_a_traceparent_is_taken_as_the_recommendation_says(header: str, taken: Caller | None) -> None:
    assert tracing.parse(header) == taken


def test_without_a_trace_nothing_is_noted() -> None:
    assert tracing.begin({"TRACEPARENT": "rubbish", "OTEL_SERVICE_NAME": "x"}) is None

    with tracing.span("decide", attempt=1) as noted:
        tracing.tell(command="transfer")

    assert (noted, tracing.trace_id()) == (None, None)
    assert tracing.application_name("ledgerctl transfer 7@", "h" * 80) == "ledgerctl transfer 7@" + "h" * 42


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "TRUE"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_a_trace_whose_spans_nobody_wants_has_an_id_and_no_spans(variables: dict[str, str]) -> None:
    trace = tracing.begin({"TRACEPARENT": TRACEPARENT, **variables})
    try:
        assert trace is not None
        assert (trace.id, trace.spans, tracing.trace_id()) == (TRACE, None, TRACE)
        with tracing.span("decide") as noted:
            assert noted is None
    finally:
        tracing.begin({})


@pytest.mark.parametrize("variable", tracing.ENDPOINTS)
def test_without_a_caller_a_trace_begins_when_spans_are_wanted(variable: str) -> None:
    ids = set()
    for _ in range(2):
        trace = tracing.begin({variable: "http://127.0.0.1:1"})
        assert trace is not None
        assert (trace.caller, trace.spans) == (None, [])
        ids.add(trace.id)
    tracing.begin({})

    assert len(ids) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)


def test_more_spans_than_a_collector_takes_are_counted_only(trace: Trace) -> None:
    for _ in range(tracing.SPANS_MAX + 3):
        with tracing.span("decide"):
            pass

    assert trace.spans is not None
    assert (len(trace.spans), trace.left_out) == (tracing.SPANS_MAX, 3)


# -- where the id goes -----------------------------------------------------------------------------------------------


def test_the_id_survives_a_long_host_behind_any_command(trace: Trace) -> None:
    assert trace.spans == []
    for command in typer.main.get_command(app).commands:  # type: ignore[attr-defined]  # it is a group
        begins = f"ledgerctl {command.removeprefix('serve-')} {2**22}@"  # no process has a greater number
        name = tracing.application_name(begins, "a-host-with-a-name.of.a.cluster")

        assert name.startswith(begins)
        assert name.endswith(f" {TRACE}")
        assert len(name) <= 63


def test_the_server_shows_the_trace_of_who_waits(funded: Books, conninfo: str, conn: Connection) -> None:
    with psycopg.connect(conninfo) as holder:
        holder.execute("SELECT FROM accounts WHERE code = 'alice' FOR UPDATE")
        child = subprocess.Popen(
            [sys.executable, "-m", "ledgerctl", "transfer", "alice", "bob", "1"],
            env={**os.environ, "LEDGERCTL_DATABASE_URL": conninfo, "TRACEPARENT": TRACEPARENT},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            seen = waited_for(conn, f"ledgerctl transfer {child.pid}@%")
        finally:
            holder.rollback()
            code = child.wait(60)

    assert (seen.rpartition(" ")[2], code) == (TRACE, Exit.DONE)


def waited_for(conn: Connection, pattern: str) -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for [name] in conn.execute(
            "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE %s AND wait_event_type = 'Lock'",
            [pattern],
        ):
            return str(name)
        time.sleep(0.02)
    raise AssertionError(f"nobody called {pattern} ever waited")


def test_every_line_of_the_audit_log_has_the_trace(funded: Books, ledgerctl: Ledgerctl, conn: Connection) -> None:
    for traceparent in (TRACEPARENT, f"00-{TRACE}-{PARENT}-00"):
        ledgerctl("transfer", "alice", "bob", "1", TRACEPARENT=traceparent)
        ledgerctl("transfer", "alice", "bob", "1000", TRACEPARENT=traceparent)
    ledgerctl("account", "create", "carol", "--currency", "EUR", TRACEPARENT=TRACEPARENT)
    ledgerctl("ledger", "create", "eu", TRACEPARENT=TRACEPARENT)

    assert audited(conn) == [
        *[("transfer", outcome, TRACE) for outcome in ("posted", "refused")] * 2,
        ("account create", "done", TRACE),
        ("ledger create", "done", TRACE),
    ]


@pytest.mark.parametrize(
    "traceparent", ["", f"00-{'0' * 32}-{PARENT}-01", "rubbish", f"00-{TRACE.upper()}-{PARENT}-01"]
)
def test_a_traceparent_that_is_none_is_no_error(
    traceparent: str, funded: Books, ledgerctl: Ledgerctl, conn: Connection
) -> None:
    done = ledgerctl("-q", "transfer", "alice", "bob", "1", TRACEPARENT=traceparent)

    assert (done.code, done.err) == (Exit.DONE, "")
    assert audited(conn) == [("transfer", "posted", None)]


@pytest.mark.parametrize("rubbish", ["", "4BF92F3577B34DA6A3CE929D0E0E4736", TRACE[1:], f"{TRACE}\n"])
def test_the_audit_log_takes_nothing_else_for_a_trace(rubbish: str, conn: Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="audit_logs_trace"):
        conn.execute(
            "INSERT INTO audit_logs (ledger_id, actor, action, subject, outcome, request_id, trace_id)"
            " VALUES (1, 'a', 'b', 'c', 'd', 'e', %s)",
            [rubbish],
        )


# -- which spans there are -------------------------------------------------------------------------------------------


def test_a_transfer_is_one_span_with_its_steps(
    funded: Books, ledgerctl: Ledgerctl, collector: Collector, conn: Connection
) -> None:
    before = time.time_ns()
    done = ledgerctl(
        *("-q", "transfer", "alice", "bob", "12.50"),
        TRACEPARENT=TRACEPARENT,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment=test",
    )
    after = time.time_ns()

    assert (done.code, done.err, len(collector.bodies)) == (Exit.DONE, "", 1)
    spans = collector.spans
    [command] = named(spans, "ledgerctl transfer")
    [attempt] = named(spans, "transaction")
    assert {one.trace_id.hex() for one in spans} == {TRACE}
    assert command.parent_span_id.hex() == PARENT
    assert attempt.parent_span_id == command.span_id
    assert [one.name for one in below(spans, attempt)] == STEPS
    assert len(spans) == 2 + len(STEPS)
    assert attributes(command) == {
        "ledgerctl.command": "transfer",
        "ledgerctl.ledger": "main",
        "ledgerctl.outcome": "posted",
        "ledgerctl.exit_code": 0,
    }
    assert attributes(attempt) == {"ledgerctl.attempt": 1}
    assert {one.status.code for one in spans} == {Status.STATUS_CODE_UNSET}
    by_id = {one.span_id: one for one in spans}
    for one in spans:
        around = by_id.get(one.parent_span_id)
        first, last = (
            (around.start_time_unix_nano, around.end_time_unix_nano) if around is not None else (before, after)
        )
        assert first <= one.start_time_unix_nano <= one.end_time_unix_nano <= last
    assert collector.resource["service.name"] == "ledgerctl"
    assert collector.resource["deployment.environment"] == "test"
    assert audited(conn) == [("transfer", "posted", TRACE)]


def test_a_refused_transfer_is_an_error_with_all_its_steps(
    funded: Books, ledgerctl: Ledgerctl, collector: Collector
) -> None:
    done = ledgerctl("transfer", "alice", "bob", "1000", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)

    spans = collector.spans
    [command] = named(spans, "ledgerctl transfer")
    [attempt] = named(spans, "transaction")
    assert done.code == Exit.REFUSED
    assert command.status.code == Status.STATUS_CODE_ERROR
    assert attributes(command)["error.type"] == "INSUFFICIENT_FUNDS"
    assert attributes(command)["ledgerctl.outcome"] == "refused"
    assert attributes(command)["ledgerctl.exit_code"] == Exit.REFUSED
    assert attempt.status.code == Status.STATUS_CODE_UNSET  # it was committed, with its line in the audit log
    assert [one.name for one in below(spans, attempt)] == STEPS


def test_without_a_caller_the_audit_log_has_the_trace_that_is_sent(
    funded: Books, ledgerctl: Ledgerctl, collector: Collector, conn: Connection
) -> None:
    ledgerctl("transfer", "alice", "bob", "1", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{collector.url}/v1/traces")

    [command] = named(collector.spans, "ledgerctl transfer")
    assert command.parent_span_id == b""
    assert audited(conn) == [("transfer", "posted", command.trace_id.hex())]


def test_a_command_of_two_words_and_one_that_is_used_wrongly_are_told_by_name(
    funded: Books, ledgerctl: Ledgerctl, collector: Collector
) -> None:
    ledgerctl("account", "list", "--ledger", "transfer", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    ledgerctl("transfer", "alice", "bob", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    ledgerctl("--help", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)

    nowhere, wrong = collector.spans
    assert (nowhere.name, attributes(nowhere)["error.type"]) == ("ledgerctl account list", "LEDGER_NOT_FOUND")
    assert (wrong.name, attributes(wrong)["error.type"]) == ("ledgerctl transfer", "USAGE")


def test_each_attempt_is_a_span_of_its_own(
    funded: Books, open_main: Callable[..., Books], conninfo: str, trace: Trace
) -> None:
    books = open_main(lock_timeout_ms=50)
    with psycopg.connect(conninfo) as holder:
        holder.execute("SELECT FROM accounts WHERE code = 'alice' FOR UPDATE")
        books.database.told = lambda _sentence: holder.rollback()  # it is told so after the first attempt

        payments.post_one(books, transfer("alice", "bob", "1", "k"))

    attempts = [one for one in trace.spans or () if one.name == "transaction"]
    assert [(one.attributes["attempt"], one.error) for one in attempts] == [(1, "LockNotAvailable"), (2, "")]
    assert noted(trace) == [
        ("transaction", "", "LockNotAvailable"),
        ("lock wait", "transaction", "LockNotAvailable"),
        ("transaction", "", ""),
        *[(step, "transaction", "") for step in STEPS],
    ]


def test_a_rehearsal_is_no_error_and_has_no_commit(funded: Books, trace: Trace) -> None:
    payments.post_one(funded, transfer("alice", "bob", "1", "k"), dry_run=True)

    assert noted(trace) == [("transaction", "", ""), *[(step, "transaction", "") for step in STEPS[:-1]]]


def test_a_commit_that_fails_is_an_error(funded: Books, conn: Connection, trace: Trace) -> None:
    conn.execute("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no'; END$$")
    conn.execute(
        "CREATE CONSTRAINT TRIGGER no AFTER INSERT ON transactions DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION no()"
    )

    with pytest.raises(errors.LedgerError):
        payments.post_one(funded, transfer("alice", "bob", "1", "k"))

    assert noted(trace)[0] == ("transaction", "", "RaiseException")
    assert noted(trace)[-1] == ("commit", "transaction", "RaiseException")


ROWS = 2_500


@pytest.fixture
def file(directory: Path) -> str:
    path = directory / "payments.csv"
    path.write_text("from,to,amount\n" + "bank,bob,0.01\n" * ROWS, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("again", [False, True])
def test_an_import_has_spans_of_batches_not_of_rows(
    again: bool, file: str, funded: Books, ledgerctl: Ledgerctl, collector: Collector
) -> None:
    if again:  # which looks its keys up
        ledgerctl("import", file)
    done = ledgerctl("import", file, TRACEPARENT=TRACEPARENT, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)

    spans = collector.spans
    [command] = named(spans, "ledgerctl import")
    [attempt] = named(spans, "transaction")
    steps = Counter(one.name for one in below(spans, attempt))
    assert (done.code, attributes(command)["ledgerctl.outcome"]) == (Exit.DONE, "complete")
    assert (command.parent_span_id.hex(), attempt.parent_span_id) == (PARENT, command.span_id)
    assert steps == {"lock wait": 1, "decide": 2, "write": 2, "commit": 1}  # of 1,000 rows, and 1,500
    assert len(spans) == 2 + steps.total()


def test_an_import_in_pieces_has_the_steps_of_each(
    file: str, funded: Books, ledgerctl: Ledgerctl, collector: Collector, conn: Connection
) -> None:
    ledgerctl(
        *("import", file, "--commit-every", "1000"), TRACEPARENT=TRACEPARENT, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url
    )

    spans = collector.spans
    [command] = named(spans, "ledgerctl import")
    attempts = [[one.name for one in below(spans, attempt)] for attempt in below(spans, command)]
    assert attempts == [["commit"], STEPS, STEPS, STEPS, ["commit"]]
    outcomes = ("started", *["posted in part"] * 3, "posted")
    assert audited(conn) == [("import", outcome, TRACE) for outcome in outcomes]


# -- what is sent, and when nothing is -------------------------------------------------------------------------------


def test_nothing_of_what_was_posted_is_sent(
    funded: Books, directory: Path, ledgerctl: Ledgerctl, collector: Collector
) -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "LEDGERCTL_LEDGER_ACTOR": "canary-actor"}
    endpoint["OTEL_EXPERIMENTAL_RESOURCE_DETECTORS"] = "process,host,otel"
    more = (
        "-i",
        "canary-key",
        "--description",
        "canary-words",
        "--reference",
        "canary-ref",
        "--metadata",
        "a=canary-m",
    )
    row = "alice,bob,7.31,canary-key-2,canary-words\nalice,nosuch-canary,7.31,canary-key-3,canary-words\n"
    (directory / "canary-file.csv").write_text(f"from,to,amount,idempotency_key,description\n{row}", encoding="utf-8")

    codes = [
        ledgerctl(*args, **endpoint).code
        for args in (
            ("transfer", "alice", "bob", "7.31", *more),
            ("transfer", "alice", "bob", "7.31", *more),
            ("transfer", "alice", "bob", "731.31", "-i", "canary-key-4", "--description", "canary-words"),
            ("transfer", "alice", "nosuch-canary", "7.31"),
            ("transfer", "alice", "canary bad code", "7.31"),
            ("import", "canary-file.csv"),
            ("import", "canary-file.csv", "--skip-rejects"),
        )
    ]

    assert codes == [0, 0, Exit.REFUSED, Exit.NOT_FOUND, Exit.USAGE, Exit.REFUSED, Exit.REFUSED]
    sent = b"".join(collector.bodies)
    assert len(collector.bodies) == len(codes)
    assert b"transaction" in sent
    assert collector.resource.keys() == {"service.name", "service.version"}
    for canary in (b"canary", b"alice", b"bob", b"bank", b"7.31", b"731", b"EUR"):
        assert canary not in sent, canary


LOADED = """
import sys
from ledgerctl.cli.app import run
sys.argv = ["ledgerctl", "transfer", "alice", "bob", "1"]
code = run()
print(*sys.modules)
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("variables", "loads"),
    [
        ({}, False),
        ({"TRACEPARENT": TRACEPARENT}, False),
        ({"TRACEPARENT": TRACEPARENT, "OTEL_EXPORTER_OTLP_ENDPOINT": "", "OTEL_SERVICE_NAME": "x"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "URL", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "URL"}, True),
    ],
)
def test_without_an_endpoint_nothing_of_opentelemetry_is_loaded(
    variables: dict[str, str], loads: bool, funded: Books, conninfo: str, collector: Collector
) -> None:
    there = {name: collector.url if value == "URL" else value for name, value in variables.items()}
    done = subprocess.run(
        [sys.executable, "-c", LOADED],
        env={**os.environ, "LEDGERCTL_DATABASE_URL": conninfo, **there},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert "ledgerctl" in loaded
    assert loaded & {"opentelemetry", "requests", "google"} == (
        {"opentelemetry", "requests", "google"} if loads else set()
    )
    assert len(collector.bodies) == loads


def test_of_a_trace_that_its_caller_does_not_sample_nothing_is_sent(
    funded: Books, ledgerctl: Ledgerctl, collector: Collector
) -> None:
    quiet = {"TRACEPARENT": f"00-{TRACE}-{PARENT}-00", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    done = ledgerctl("-q", "transfer", "alice", "bob", "1", **quiet)

    assert (done.code, done.err, collector.bodies) == (Exit.DONE, "", [])


# -- collectors that are of no use -----------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", ["dead", "hanging", "trickling", "refusing", "busy", "nonsense", "password"])
@pytest.mark.parametrize(("amount", "code"), [("1", Exit.DONE), ("1000", Exit.REFUSED)])
def test_a_collector_costs_no_answer(
    bad: str, amount: str, code: Exit, funded: Books, ledgerctl: Ledgerctl, collector: Collector
) -> None:
    collector.status = {"hanging": None, "refusing": 500, "busy": 503}.get(bad, 200)
    collector.trickles = bad == "trickling"
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        dead = f"127.0.0.1:{nobody.getsockname()[1]}"
        others = {"dead": f"http://{dead}", "nonsense": "colle\x7fctor", "password": f"http://user:pass-word@{dead}/"}
        began = time.monotonic()
        done = ledgerctl(
            *("-q", "-o", "json", "transfer", "alice", "bob", amount),
            OTEL_EXPORTER_OTLP_ENDPOINT=others.get(bad, collector.url),
            OTEL_EXPORTER_OTLP_TIMEOUT="3600",
        )
        took_s = time.monotonic() - began

    *errors_, warning = done.err.splitlines()
    assert (done.code, bool(done.out)) == (code, code == Exit.DONE)
    assert len(errors_) == (code != Exit.DONE)
    assert warning.startswith("warning: the trace of this run is lost: ")
    assert "pass-word" not in done.err
    assert took_s < 20  # and not an hour


@pytest.mark.parametrize("command", ["transfer alice bob 1", "balance alice"])
def test_whoever_stops_a_command_that_only_sends_its_trace_changes_nothing(
    funded: Books, conninfo: str, collector: Collector, command: str
) -> None:
    """After a change nobody is heard any more; it has waited long enough soon."""
    collector.status = None
    child = subprocess.Popen(
        [sys.executable, "-m", "ledgerctl", "-q", *command.split()],
        env={**os.environ, "LEDGERCTL_DATABASE_URL": conninfo, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert collector.asked.wait(30)
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=60)

    lost = b"warning: the trace of this run is lost: no answer within 1.5 s\n"
    assert (child.returncode, err) == (Exit.DONE, lost if command.startswith("transfer") else b"")
    assert b"alice" in out


def test_without_the_extra_one_sentence_says_so(funded: Books, conninfo: str, collector: Collector) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import sys; sys.modules['opentelemetry'] = None; from ledgerctl.__main__ import main; main()",
            *("-q", "transfer", "alice", "bob", "1"),
        ],
        env={**os.environ, "LEDGERCTL_DATABASE_URL": conninfo, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == Exit.DONE
    assert done.stderr.splitlines() == [
        "warning: the trace of this run is lost: install ledgerctl with its extra 'otel'"
    ]
