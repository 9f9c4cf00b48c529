"""What those who look on are told: lines of a log, who was waited for, and how each command ended."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import gateways
from tests.conftest import Run
from tests.redis_servers import Redis

Command = Callable[..., Run]

IDENTITY = {"command", "request_id", "ledger", "actor"}


def lines(done: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.err.splitlines()]


# -- the log ---------------------------------------------------------------------------------------------------------


def test_in_json_every_line_on_stderr_is_an_object_that_says_whose_it_is(funded: Command, ledger: str) -> None:
    done = funded("--log-format", "json", "--actor", "ops", "transfer", "bank", "alice", "5")

    note, ended = lines(done)
    assert note["message"].startswith("idempotency key: ")
    assert [(line["command"], line["ledger"], line["actor"], line["level"]) for line in (note, ended)] == [
        ("transfer", ledger, "ops", "info")
    ] * 2
    assert note["request_id"] == ended["request_id"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"]) for line in (note, ended))
    assert {name: ended[name] for name in ended.keys() - IDENTITY - {"time", "level"}} == {
        "message": "ended", "outcome": "posted", "exit_code": 0, "duration_s": ended["duration_s"], "posted": 1,
    }  # fmt: skip
    assert 0 < ended["duration_s"] < 60


def test_the_request_of_the_log_is_the_one_of_the_audit_log(funded: Command, shared_conninfo: str) -> None:
    [*_, ended] = lines(funded("--log-format", "json", "transfer", "bank", "alice", "5"))

    with psycopg.connect(shared_conninfo) as conn:
        found = conn.execute("SELECT outcome FROM audit_logs WHERE request_id = %s", [ended["request_id"]]).fetchall()
    assert found == [("posted",)]


@pytest.mark.parametrize(
    ("args", "code", "outcome"),
    [
        (("transfer", "bob", "alice", "5"), 3, "INSUFFICIENT_FUNDS"),
        (("transfer", "bob", "nobody", "5"), 4, "ACCOUNT_NOT_FOUND"),
        (("transfer", "bob"), 2, "USAGE"),
        (("balance", "alice"), 0, "done"),
    ],
)
def test_the_last_line_says_how_it_ended(funded: Command, args: tuple[str, ...], code: int, outcome: str) -> None:
    done = funded("--log-format", "json", *args)

    ended = lines(done)[-1]
    assert (done.code, ended["exit_code"], ended["outcome"]) == (code, code, outcome)
    errors = [line["error"]["code"] for line in lines(done) if line["level"] == "error"]
    assert errors == ([outcome] if code else [])


def test_a_wrong_configuration_is_a_line_too(in_process: Command) -> None:
    done = in_process(
        "--log-format", "json", "balance", LEDGERCTL_DATABASE_URL="nonsense:canary@x", LEDGERCTL_LOG_FORMAT=None
    )

    assert [(line["level"], line.get("outcome")) for line in lines(done)] == [("error", None), ("info", "BAD_CONFIG")]
    assert "canary" not in done.err


def test_as_text_a_line_has_time_level_message_and_names_with_values(funded: Command) -> None:
    done = funded("balance", "alice", "--actor", "night shift", LEDGERCTL_LOG_FORMAT="text")

    [line] = done.err.splitlines()
    assert re.fullmatch(
        r'\S+Z info ended command=balance request_id=\S+ ledger=\S+ actor="night shift" outcome=done exit_code=0'
        r" duration_s=[0-9.]+",
        line,
    )


def test_a_line_names_the_trace_that_the_command_is_a_part_of(process: Command) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    done = process("--log-format", "json", "balance", env={"TRACEPARENT": f"00-{trace}-00f067aa0ba902b7-01"})

    assert lines(done)[-1]["trace_id"] == trace


def test_quiet_leaves_errors_and_silence_is_the_default(funded: Command) -> None:
    assert funded("balance", "alice").err == ""
    assert funded("-q", "balance", "alice", "--log-format", "json").err == ""
    [line] = lines(funded("-q", "transfer", "bob", "alice", "5", "--log-format", "json"))
    assert line["error"]["code"] == "INSUFFICIENT_FUNDS"


@pytest.mark.parametrize("args", [("nope",), ("balance", "--nope"), ()])
def test_what_is_no_command_is_said_in_json_too(in_process: Command, args: tuple[str, ...]) -> None:
    done = in_process("--log-format", "json", *args)

    assert (done.code, lines(done)[0]["error"]["code"]) == (2, "USAGE")


def test_no_format_but_these_two(funded: Command) -> None:
    done = funded("--log-format", "xml", "balance")

    assert (done.code, "'xml' is not one of text, json" in done.err) == (2, True)


CANARIES = {"description": "canary-text", "reference": "canary-ref", "metadata": "who=canary-person"}


def test_nothing_that_people_wrote_and_no_password_stands_in_any_line(
    funded: Command, surroundings: dict[str, str]
) -> None:
    options = [word for name, value in CANARIES.items() for word in (f"--{name}", value)]
    url = f"{surroundings['LEDGERCTL_DATABASE_URL']} password=canary-password"
    said = [
        funded(*args, "-vv", "--log-format", format_, LEDGERCTL_DATABASE_URL=url).err
        for format_ in ("json", "text")
        for args in (
            ("transfer", "bank", "alice", "5", *options),
            ("transfer", "bob", "alice", "5", *options),
            ("account", "create", "carol", "--currency", "EUR", "--name", "canary-name"),
            ("account", "create", "carol", "--currency", "EUR", "--name", "canary-other-name"),
            ("history", "alice"),
        )
    ]

    assert all(said)
    assert "canary" not in "".join(said)


# -- who was waited for ----------------------------------------------------------------------------------------------


@contextmanager
def held(conninfo: str, ledger: str, code: str) -> Iterator[psycopg.Connection]:
    """An account that a billing job has locked."""
    with psycopg.connect(conninfo, application_name="billing job") as conn:
        conn.execute(
            "SELECT FROM accounts WHERE code = %s AND ledger_id = (SELECT id FROM ledgers WHERE name = %s) FOR UPDATE",
            [code, ledger],
        )
        yield conn


def while_waiting(conninfo: str, holder: psycopg.Connection, args: list[str], surroundings: dict[str, str]) -> Run:
    """A command that waits for the holder, who lets go once it was seen waiting for a while."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ledgerctl", *args],
        env={**os.environ, **surroundings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    waits = (
        "SELECT FROM pg_locks l JOIN pg_stat_activity s USING (pid) WHERE NOT l.granted"
        " AND starts_with(s.application_name, %s) AND l.waitstart < now() - interval '0.6 s'"
    )
    with psycopg.connect(conninfo, autocommit=True) as conn:
        while not conn.execute(waits, [f"ledgerctl {args[0]} {process.pid}@"]).fetchall():
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
    holder.rollback()
    out, err = process.communicate(timeout=60)
    return Run(process.returncode, out, err)


def test_a_command_that_waited_says_for_which_account_whom_and_how_long(
    funded: Command, surroundings: dict[str, str], shared_conninfo: str, ledger: str, directory: Path
) -> None:
    file = directory / "job.prom"
    told = {
        **surroundings,
        "LEDGERCTL_METRICS_TEXTFILE": str(file),
        "LEDGERCTL_METRICS_COMMANDS": "changes",
    }
    with held(shared_conninfo, ledger, "alice") as holder:
        pid = holder.info.backend_pid
        done = while_waiting(shared_conninfo, holder, ["transfer", "bank", "alice", "5", "-v", "-o", "json"], told)

    [wait] = json.loads(done.out)["lock_waits"]
    assert wait == {
        "account": "alice",
        "waited_s": wait["waited_s"],
        "holder": {"pid": pid, "application": "billing job"},
    }
    assert wait["waited_s"] > 0.5
    words = rf"waited {wait['waited_s']:.1f} s: account 'alice' was locked by process {pid} \(billing job\)"
    assert re.search(rf"(?m)^{words}$", done.err)
    metrics = gateways.samples("\n".join(line for line in file.read_text().splitlines() if "outcomes" not in line))
    assert metrics["ledgerctl_job_lock_wait_seconds"][1] == pytest.approx(wait["waited_s"], abs=0.01)


def test_whoever_waits_behind_others_names_the_one_who_keeps_them_all(
    funded: Command, surroundings: dict[str, str], shared_conninfo: str, ledger: str
) -> None:
    lock = (
        "SELECT FROM accounts WHERE code = 'alice' AND ledger_id = (SELECT id FROM ledgers WHERE name = %s) FOR UPDATE"
    )
    with (
        ThreadPoolExecutor() as pool,
        psycopg.connect(shared_conninfo, autocommit=True) as next_one,
        held(shared_conninfo, ledger, "alice") as holder,
    ):
        waiting = pool.submit(next_one.execute, lock, [ledger])
        pid = holder.info.backend_pid
        done = while_waiting(shared_conninfo, holder, ["transfer", "bank", "alice", "5", "-o", "json"], surroundings)
        waiting.result()

    assert [wait["holder"]["pid"] for wait in json.loads(done.out)["lock_waits"]] == [pid]


def test_an_import_says_at_once_whom_it_waits_for(
    funded: Command, surroundings: dict[str, str], shared_conninfo: str, ledger: str, directory: Path
) -> None:
    (directory / "one.csv").write_text("from,to,amount\nbank,alice,1\n")
    with held(shared_conninfo, ledger, "alice") as holder:
        words = f"waiting: account 'alice' is locked by process {holder.info.backend_pid} (billing job)"
        done = while_waiting(shared_conninfo, holder, ["import", str(directory / "one.csv")], surroundings)

    assert (done.code, words in done.err) == (0, True)


# -- interrupts ------------------------------------------------------------------------------------------------------


def test_what_was_answered_is_no_longer_interrupted(
    funded: Command, surroundings: dict[str, str], directory: Path
) -> None:
    """Its exit code would say that nothing of it stays."""
    for sent in (signal.SIGINT, signal.SIGTERM) * 3:
        process = subprocess.Popen(
            [sys.executable, "-m", "ledgerctl", "transfer", "bank", "alice", "1"],
            cwd=directory,
            env={**os.environ, **surroundings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline().startswith("posted ")
        while process.poll() is None:
            process.send_signal(sent)
        process.communicate()
        assert process.returncode == 0


def test_a_command_that_did_not_wait_says_nothing_of_it(funded: Command) -> None:
    assert "lock_waits" not in json.loads(funded("transfer", "bank", "alice", "5", "-o", "json").out)


# -- metrics of every command ----------------------------------------------------------------------------------------


@pytest.fixture
def gateway() -> Iterator[gateways.Recorder]:
    with gateways.recording() as recorder:
        yield recorder


def groups(gateway: gateways.Recorder) -> list[str]:
    return [re.sub(r".*/job/(\w+)/.*", r"\1", sent.path) for sent in gateway.sent]


def test_commands_tell_how_they_ended_if_the_configuration_says_so(
    funded: Command, gateway: gateways.Recorder, directory: Path
) -> None:
    (directory / "good.csv").write_text("from,to,amount\nbank,alice,1\nalice,bank,1\nbob,bank,7\n")
    told = {"LEDGERCTL_METRICS_PUSHGATEWAY": gateway.url}

    funded("transfer", "bank", "alice", "5", **told)
    assert gateway.sent == []  # jobs only, if nothing is said

    told["LEDGERCTL_METRICS_COMMANDS"] = "changes"
    funded("transfer", "bank", "alice", "5", "-i", "k", **told)
    funded("transfer", "bank", "alice", "5", "-i", "k", **told)
    funded("transfer", "bob", "alice", "5", **told)
    funded("import", "good.csv", "--skip-rejects", **told)
    funded("balance", **told)
    funded("reconcile", **told)

    assert groups(gateway) == [
        "ledgerctl_transfer", "ledgerctl_transfer", "ledgerctl_transfer", "ledgerctl_import", "ledgerctl_reconcile",
    ]  # fmt: skip
    outcomes = [dict(re.findall(r'job_outcomes\{outcome="(\w+)"\} (\S+)', sent.body)) for sent in gateway.sent]
    assert outcomes == [
        {"posted": "1.0"}, {"replayed": "1.0"}, {"refused": "1.0"},
        {"posted": "2.0", "replayed": "0.0", "refused": "1.0"}, {},
    ]  # fmt: skip
    codes = [re.findall(r"(?m)^ledgerctl_job_last_exit_code (\S+)", sent.body) for sent in gateway.sent]
    assert codes == [["0.0"], ["0.0"], ["3.0"], ["3.0"], ["0.0"]]
    assert "ledgerctl_job_retries 0.0" in gateway.sent[0].body
    gateway.sent.clear()

    funded("balance", **{**told, "LEDGERCTL_METRICS_COMMANDS": "all"})

    assert groups(gateway) == ["ledgerctl_balance"]


def test_commands_tell_what_they_asked_of_redis_and_what_came_of_it(
    funded: Command, gateway: gateways.Recorder, redis: Redis
) -> None:
    told = {
        "LEDGERCTL_METRICS_PUSHGATEWAY": gateway.url,
        "LEDGERCTL_METRICS_COMMANDS": "all",
        "LEDGERCTL_REDIS_URL": redis.url,
        "LEDGERCTL_REDIS_BALANCES": "true",
    }

    def asked(*command: str) -> list[tuple[str, str, str]]:
        gateway.sent.clear()
        assert funded(*command, **told).code == 0
        return re.findall(r'job_cache_requests\{result="(\w+)",use="(\w+)"\} (\S+)', gateway.sent[0].body)

    deadline = time.monotonic() + 30
    while not (first := asked("balance", "alice")):  # not while a transaction of before is open
        assert time.monotonic() < deadline
    assert [first, asked("balance", "alice")] == [[("miss", "balances", "1.0")], [("hit", "balances", "1.0")]]
    assert asked("history", "alice") == []
    redis.kill()
    assert asked("balance", "alice") == [("fallback", "balances", "1.0")]


def test_a_gateway_that_is_dead_fails_no_command(funded: Command) -> None:
    told = {"LEDGERCTL_METRICS_PUSHGATEWAY": "http://127.0.0.1:1", "LEDGERCTL_METRICS_COMMANDS": "all"}

    done = funded("balance", "alice", **told)

    assert (done.code, done.err.count("warning: the metrics of this run were not pushed")) == (0, 1)
