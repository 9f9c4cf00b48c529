"""Every end of a scheduled command is reported once, after the work, with the exit code that the process gives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from ledgerctl.cli.invocation import Invocation
from ledgerctl.cli.jobs import job
from ledgerctl.errors import Exit
from tests import gateways
from tests.conftest import Run

Command = Callable[..., Run]

SUCCESS = "ledgerctl_job_last_success_timestamp_seconds"
CODE = "ledgerctl_job_last_exit_code"
FINDINGS = "ledgerctl_reconcile_findings"
NOWHERE = "postgresql://ledger@127.0.0.1:1/books"


@pytest.fixture
def gateway() -> Iterator[gateways.Recorder]:
    with gateways.recording() as recorder:
        yield recorder


def told(gateway: gateways.Recorder) -> dict[str, float]:
    """What was sent, which must be one request."""
    [sent] = gateway.sent
    gateway.sent.clear()
    return sent.values


# -- every end -------------------------------------------------------------------------------------------------------


def test_a_clean_run_is_a_success_without_findings_and_silent(funded: Command, gateway: gateways.Recorder) -> None:
    assert funded("reconcile", "--pushgateway", gateway.url) == Run(Exit.DONE, "", "")

    found = told(gateway)
    assert (found[CODE], found[FINDINGS]) == (0, 0)
    assert found[SUCCESS] == found["ledgerctl_job_last_run_timestamp_seconds"]
    assert abs(found[SUCCESS] - time.time()) < 3600
    assert 0 <= found["ledgerctl_job_duration_seconds"] < 3600
    assert "ledgerctl_reconcile_open_items" not in found


def test_findings_are_no_success(alone: Command, conn: psycopg.Connection, gateway: gateways.Recorder) -> None:
    alone("account", "create", "alice", "--currency", "EUR")
    conn.execute("ALTER TABLE accounts DISABLE TRIGGER ALL")
    conn.execute("UPDATE accounts SET balance = balance + 1 WHERE code = 'alice'")

    done = alone("reconcile", "--pushgateway", gateway.url)

    found = told(gateway)
    assert (done.code, found[CODE]) == (Exit.DIFFERENCES, Exit.DIFFERENCES)
    assert found[FINDINGS] == len(done.out.splitlines()) - 2  # a head and the titles
    assert SUCCESS not in found


@pytest.mark.parametrize(
    ("args", "environment", "code"),
    [
        ((), {"LEDGERCTL_DATABASE_URL": NOWHERE}, Exit.UNAVAILABLE),
        (("-l", "nix"), {}, Exit.NOT_FOUND),
        (("--fields", "nix"), {}, Exit.USAGE),
        (("--accept", "a\x00b"), {}, Exit.USAGE),
        ((), {"LEDGERCTL_DATABASE_URL": None}, Exit.BAD_CONFIG),
        ((), {"LEDGERCTL_DATABASE_LOCK_TIMEOUT_MS": "soon"}, Exit.BAD_CONFIG),
        (("--config", "nix.toml"), {}, Exit.BAD_CONFIG),
    ],
)
def test_a_run_that_fails_is_reported_with_its_exit_code(
    run: Command, gateway: gateways.Recorder, args: tuple[str, ...], environment: dict[str, str], code: Exit
) -> None:
    done = run("reconcile", *args, LEDGERCTL_METRICS_PUSHGATEWAY=gateway.url, **environment)

    found = told(gateway)
    assert (done.code, found[CODE]) == (code, code)
    assert FINDINGS not in found
    assert SUCCESS not in found


def test_a_run_beside_another_is_a_failure_and_one_that_skips_is_not_reported(
    alone: Command, conninfo: str, gateway: gateways.Recorder
) -> None:
    with psycopg.connect(conninfo) as conn:
        conn.execute("SELECT pg_advisory_xact_lock(1919248227, id) FROM ledgers")

        assert alone("reconcile", "--pushgateway", gateway.url).code == Exit.TRY_AGAIN
        assert told(gateway)[CODE] == Exit.TRY_AGAIN

        assert alone("reconcile", "--skip-if-locked", "--pushgateway", gateway.url).code == Exit.DONE
        assert gateway.sent == []


STARTED = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # what starts in the background would ignore it
from ledgerctl.__main__ import main
main()
"""


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, Exit.TERMINATED), (signal.SIGINT, Exit.INTERRUPTED)])
def test_a_run_that_is_stopped_is_reported_as_it_goes(
    directory: Path, conninfo: str, gateway: gateways.Recorder, sent: signal.Signals, code: Exit
) -> None:
    with psycopg.connect(conninfo) as conn:
        conn.execute("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
        process = subprocess.Popen(
            [sys.executable, "-c", STARTED, "reconcile", "--pushgateway", gateway.url],
            cwd=directory,
            env={**os.environ, "LEDGERCTL_DATABASE_URL": conninfo, "LEDGERCTL_DATABASE_LOCK_TIMEOUT_MS": "60000"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not conn.execute("SELECT 1 FROM pg_locks WHERE relation = 'accounts'::regclass AND NOT granted").rowcount:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(sent)
        assert process.wait(60) == code

    assert told(gateway)[CODE] == code


def test_a_bug_is_reported_and_goes_on_its_way(gateway: gateways.Recorder) -> None:
    with pytest.raises(ZeroDivisionError), job(Invocation(), "reconcile", gateway.url, ""):
        print(1 // 0)  # noqa: T201

    assert told(gateway)[CODE] == Exit.BUG


def test_an_answer_that_nobody_reads_is_reported_as_the_process_ends(
    process: Command, gateway: gateways.Recorder
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = process("-o", "json", "reconcile", "--pushgateway", gateway.url, stdout=writing)
    finally:
        os.close(writing)

    assert told(gateway)[CODE] == done.code


def test_what_a_command_tells_of_open_items_is_reported_under_its_own_job(gateway: gateways.Recorder) -> None:
    with job(Invocation(ledger="shop"), "reconcile_statement", gateway.url, "") as telling:
        telling.findings, telling.open_items, telling.oldest_open_age_s = 0, 2, 7200.0

    assert gateway.sent[0].path == "/metrics/job/ledgerctl_reconcile_statement/ledger/shop"
    found = told(gateway)
    assert found["ledgerctl_reconcile_open_items"] == 2
    assert found["ledgerctl_reconcile_oldest_open_item_age_seconds"] == 7200


# -- where to --------------------------------------------------------------------------------------------------------


def test_the_ledger_is_the_only_other_name_in_the_group(run: Command, ledger: str, gateway: gateways.Recorder) -> None:
    run("reconcile", "--pushgateway", gateway.url)

    assert gateway.sent[0].path == f"/metrics/job/ledgerctl_reconcile/ledger/{ledger}"


def test_a_flag_wins_over_the_environment_over_the_file(
    alone: Command, directory: Path, gateway: gateways.Recorder
) -> None:
    with gateways.recording() as of_environment, gateways.recording() as of_file:
        (directory / "ledgerctl.toml").write_text(
            f'[metrics]\npushgateway = "{of_file.url}"\ntextfile = "m/job.prom"\n'
        )
        (directory / "m").mkdir()
        alone("reconcile")
        assert (len(of_file.sent), len(of_environment.sent), len(gateway.sent)) == (1, 0, 0)
        alone("reconcile", LEDGERCTL_METRICS_PUSHGATEWAY=of_environment.url)
        assert (len(of_file.sent), len(of_environment.sent), len(gateway.sent)) == (1, 1, 0)
        alone("reconcile", "--pushgateway", gateway.url, LEDGERCTL_METRICS_PUSHGATEWAY=of_environment.url)
        assert (len(of_file.sent), len(of_environment.sent), len(gateway.sent)) == (1, 1, 1)

    assert gateways.samples((directory / "m" / "job.prom").read_text())[CODE][1] == 0


def test_a_file_keeps_the_last_success_through_a_failure(run: Command, directory: Path, ledger: str) -> None:
    file = directory / "reconcile.prom"

    assert run("reconcile", "--metrics-textfile", file.name) == Run(Exit.DONE, "", "")
    first = gateways.samples(file.read_text())
    failed = run("reconcile", "--metrics-textfile", file.name, LEDGERCTL_DATABASE_URL=NOWHERE)
    second = gateways.samples(file.read_text())

    assert failed.code == Exit.UNAVAILABLE
    assert first[SUCCESS] == second[SUCCESS]
    assert first[SUCCESS][0] == {"job": "ledgerctl_reconcile", "ledger": ledger}
    assert (first[CODE][1], second[CODE][1]) == (Exit.DONE, Exit.UNAVAILABLE)


def test_a_file_that_no_collector_would_read_is_refused_before_the_work(
    run: Command, directory: Path, gateway: gateways.Recorder
) -> None:
    done = run("reconcile", "--metrics-textfile", "metrics.txt", "--pushgateway", gateway.url)

    assert done.code == told(gateway)[CODE] == Exit.USAGE
    assert "'metrics.txt' does not end in .prom" in done.err
    assert "warning" not in done.err
    assert list(directory.glob("*.txt")) == []
    assert run("-o", "json", "reconcile").out.count('"mode": "full"') == 1  # the first run that there is


def test_a_run_in_a_directory_that_is_gone_is_reported_too(directory: Path, conninfo: str) -> None:
    gone, file = directory / "gone", directory / "job.prom"
    gone.mkdir()
    done = subprocess.run(
        [
            "/bin/sh",
            "-c",
            'rmdir "$1" && shift && exec "$@"',
            "sh",
            str(gone),
            sys.executable,
            "-c",
            STARTED,
            "reconcile",
        ],
        cwd=gone,
        env={**os.environ, "LEDGERCTL_DATABASE_URL": conninfo, "LEDGERCTL_METRICS_TEXTFILE": str(file)},
        timeout=60,
        check=False,
    )

    assert gateways.samples(file.read_text())[CODE][1] == done.returncode == Exit.BAD_CONFIG


def test_a_report_that_fails_is_one_line_and_changes_nothing(run: Command, directory: Path) -> None:
    """Also with --quiet, as cron runs it: nobody else would hear of it."""
    bad = ("--pushgateway", "http://ops:s3cret@127.0.0.1:1", "--metrics-textfile", "missing/job.prom")
    for args in ((), ("-q",)):
        done = run(*args, "reconcile", *bad)
        assert (done.code, done.out) == (Exit.DONE, "")
        assert done.err.splitlines() == [
            "warning: the metrics of this run were not pushed to http://***@127.0.0.1:1: Connection refused",
            "warning: the metrics of this run were not written to missing/job.prom: No such file or directory",
        ]

    assert run("reconcile", *bad, LEDGERCTL_DATABASE_URL=NOWHERE).code == Exit.UNAVAILABLE


def test_a_library_that_does_not_load_is_one_line_and_changes_nothing(process: Command, directory: Path) -> None:
    (directory / "prometheus_client.py").write_text("raise ImportError('half an upgrade')\n")

    done = process("reconcile", "--metrics-textfile", "job.prom", env={"PYTHONPATH": str(directory)})

    assert done == Run(Exit.DONE, "", "warning: the metrics of this run are lost: half an upgrade\n")


def test_nothing_is_loaded_for_metrics_that_nobody_asked_for(process: Command, gateway: gateways.Recorder) -> None:
    profiled = {"PYTHONPROFILEIMPORTTIME": "1"}

    assert "prometheus_client" not in process("reconcile", env=profiled).err
    assert "prometheus_client" in process("reconcile", "--pushgateway", gateway.url, env=profiled).err


def test_a_login_in_the_settings_is_not_shown(run: Command) -> None:
    for url in ("http://ops:s3cret@127.0.0.1:9091", "ops:s3cret@127.0.0.1"):
        done = run("-o", "json", "config", "show", LEDGERCTL_METRICS_PUSHGATEWAY=url)
        assert "***@127.0.0.1" in done.out
        assert "s3cret" not in done.out


def test_runs_of_the_command_leave_their_results_at_a_real_gateway(run: Command, ledger: str, tmp_path: Path) -> None:
    with gateways.real(tmp_path) as url:
        assert run("reconcile", "--pushgateway", url).code == Exit.DONE
        first = gateways.scraped(url)
        assert run("reconcile", "--pushgateway", url, LEDGERCTL_DATABASE_URL=NOWHERE).code == Exit.UNAVAILABLE
        second = gateways.scraped(url)

    assert first[SUCCESS] == second[SUCCESS]
    assert (first[CODE][1], second[CODE][1]) == (Exit.DONE, Exit.UNAVAILABLE)
    assert second[FINDINGS] == ({"job": "ledgerctl_reconcile", "ledger": ledger, "instance": ""}, 0)
