"""ledgerctl doctor: each thing that can be wrong is made wrong, and has to be found with its remedy."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from redis import Redis as Client

import ledgerctl
from ledgerctl import pushing
from ledgerctl.db import embedded, embedded_disk, migrate, quick_checks, roles, server
from ledgerctl.db.connection import Connection
from ledgerctl.db.embedded_disk import Disk
from ledgerctl.db.server import Condition, Link
from ledgerctl.errors import Exit
from ledgerctl.services import examining, examining_directory, examining_server
from ledgerctl.services.accounts import create_ledger
from tests import gateways
from tests.conftest import Run, database_at
from tests.redis_servers import Redis

Command = Callable[..., Run]
Row = dict[str, str]

AROUND = [
    "configuration", "settings", "password", "program", "completions", "requests", "pushgateway", "textfile", "redis",
]  # fmt: skip
OF_DATABASE = [name for stage in examining.STAGES for name in stage]


class Doctor:
    """Runs `doctor`, and knows what it said of each check."""

    def __init__(self, run: Command) -> None:
        self.run = run
        self.code, self.err = -1, ""
        self.rows: list[Row] = []

    def __call__(self, *args: str, **environment: str | None) -> Doctor:
        done = self.run("-o", "json", "doctor", *args, **environment)
        self.code, self.err, self.rows = done.code, done.err, json.loads(done.out)
        assert [row for row in self.rows if row["status"] == "ok" and row["remedy"]] == []
        assert [row for row in self.rows if row["status"] in ("warning", "problem") and not row["remedy"]] == []
        return self

    def __getitem__(self, check: str) -> list[tuple[str, str, str]]:
        return [(row["status"], row["found"], row["remedy"]) for row in self.rows if row["check"] == check]

    def one(self, check: str) -> tuple[str, str, str]:
        [found] = self[check]
        return found

    def of(self, status: str) -> set[str]:
        return {row["check"] for row in self.rows if row["status"] == status}

    @property
    def checks(self) -> list[str]:
        return list(dict.fromkeys(row["check"] for row in self.rows))


@pytest.fixture(autouse=True)
def our_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.pathsep.join([sysconfig.get_path("scripts"), os.defpath]))
    for name in ("XDG_DATA_HOME", "XDG_DATA_DIRS"):  # no completions of whoever runs the tests
        monkeypatch.setenv(name, "/nonexistent")


@pytest.fixture
def doctor(run: Command) -> Doctor:
    """In a ledger of its own on the run's server, whose superuser it is and which is marked as throw-away."""
    return Doctor(run)


@pytest.fixture
def apart(alone: Command) -> Doctor:
    """Like `doctor`, in a database of its own, which may be damaged."""
    return Doctor(alone)


@pytest.fixture
def name(conn: Connection) -> sql.Identifier:
    return sql.Identifier(conn.info.dbname)


def test_on_a_good_server_every_check_is_told_in_order(doctor: Doctor) -> None:
    assert doctor().code == Exit.DONE

    assert doctor.checks == [*AROUND, *OF_DATABASE]
    assert doctor.of("problem") == doctor.of("skipped") == set()
    assert doctor.of("warning") == {"durability", "role"}  # what this server is


def test_a_warning_counts_when_it_is_asked_to(doctor: Doctor) -> None:
    assert doctor("--strict").code == Exit.DIFFERENCES
    assert json.loads(doctor.err)["error"]["code"] == "UNHEALTHY"


def test_the_reference_explains_every_check() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "cli.md").read_text(encoding="utf-8")
    section = page.partition("### ledgerctl doctor\n")[2].partition("\n### ")[0]

    assert re.findall(r"(?m)^\| `([\w-]+)` \|", section) == [*AROUND, "embedded", "disk", "file-system", *OF_DATABASE]


def test_it_is_shown_as_a_table_and_as_csv_too(alone: Command) -> None:
    table, csv = alone("doctor").out.splitlines(), alone("-o", "csv", "doctor").out.splitlines()

    assert table[0].split() == csv[0].split(",") == ["check", "status", "found", "remedy"]
    assert len(table) == len(csv)
    assert "configuration   ok" in table[1]


def test_nothing_is_changed(apart: Doctor, conn: Connection) -> None:
    written = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables, pg_stat_force_next_flush()"
    before = conn.execute(written).fetchone()

    apart()

    assert conn.execute(written).fetchone() == before


# -- the configuration and this machine ------------------------------------------------------------------------------


def test_a_password_that_others_may_read_is_a_problem(in_process: Command, directory: Path, conninfo: str) -> None:
    file = directory / "ledgerctl.toml"
    file.write_text(f'[database]\nurl = "{make_conninfo(conninfo, password="hidden")}"\n')
    file.chmod(0o640)
    doctor = Doctor(in_process)

    assert doctor().code == Exit.DIFFERENCES
    status, found, remedy = doctor.one("password")
    assert (status, remedy) == ("problem", f"chmod 600 {file}; change the password")
    assert "640" in found
    assert "hidden" not in str(doctor.rows) + doctor.err

    file.chmod(0o600)
    assert doctor().one("password") == ("ok", f"in {file}, for its owner only", "")


def test_the_source_of_the_database_is_told(doctor: Doctor, directory: Path) -> None:
    (directory / "ledgerctl.toml").write_text("[profiles.night.ledger]\nname = 'main'\n")

    _, found, _ = doctor("--profile", "night").one("configuration")

    assert found.startswith(f"{directory / 'ledgerctl.toml'}, profile night: database.url is ")
    assert found.endswith(", from environment")


def test_without_a_configuration_a_row_says_so(in_process: Command) -> None:
    doctor = Doctor(in_process)

    assert doctor().code == Exit.BAD_CONFIG
    assert doctor.one("configuration")[0] == "problem"
    assert doctor.of("skipped") == set(OF_DATABASE)
    assert json.loads(doctor.err)["error"]["code"] == "NOT_CONFIGURED"


@pytest.mark.parametrize("url", ["ledger:hidden@127.0.0.1/books", "postgresql://ledger:hid%zzden@127.0.0.1/books"])
def test_a_url_that_is_none_is_not_shown(doctor: Doctor, url: str) -> None:
    assert doctor(LEDGERCTL_DATABASE_URL=url).code == Exit.BAD_CONFIG
    assert doctor.of("problem") == {"configuration", "connection"}
    assert "hid" not in str(doctor.rows) + doctor.err


def test_settings_that_are_not_the_default_are_told_with_their_origins(doctor: Doctor, directory: Path) -> None:
    file = directory / "ledgerctl.toml"
    file.write_text("[database]\nretry_attempts = 7\nlock_timeout_ms = 3000\n")

    status, found, _ = doctor("--actor", "me").one("settings")

    told = {f"database.retry_attempts from {file}", "database.url, ledger.name from environment"}
    assert (status, set(found.split("; "))) == ("ok", told | {"ledger.actor, output.format from flag"})


@pytest.mark.parametrize("name", ["statement_timeout_ms", "idle_timeout_ms"])
def test_a_limit_that_was_taken_away_is_a_warning(doctor: Doctor, name: str) -> None:
    status, found, _ = doctor(**{f"LEDGERCTL_DATABASE_{name.upper()}": "0"}).one("settings")

    assert (status, found.partition(":")[0]) == ("warning", f"database.{name} is 0, from environment")


@pytest.mark.parametrize(
    ("shell", "variable", "place"),
    [
        ("bash", "XDG_DATA_HOME", "bash-completion/completions/ledgerctl"),
        ("zsh", "XDG_DATA_DIRS", "zsh/site-functions/_ledgerctl"),
        ("fish", "XDG_CONFIG_HOME", "fish/completions/ledgerctl.fish"),
    ],
)
def test_a_completion_script_of_another_version_is_named(
    doctor: Doctor, directory: Path, shell: str, variable: str, place: str
) -> None:
    assert doctor().one("completions") == ("ok", "none is installed where shells look", "")
    file = directory / "places" / place
    file.parent.mkdir(parents=True)
    file.write_text(doctor.run("completion", shell).out)
    environment = {variable: str(directory / "places")}

    assert doctor(**environment).one("completions") == ("ok", str(file), "")

    file.write_text("# of yesterday\n")
    remedy = f"ledgerctl completion {shell} > {file}"
    assert doctor(**environment).one("completions") == ("warning", f"{file} is of another version", remedy)


def test_another_program_of_this_name_is_named(doctor: Doctor, directory: Path) -> None:
    other = directory / "ledgerctl"
    other.write_text("#!/bin/sh\n")
    ours = Path(sysconfig.get_path("scripts")) / "ledgerctl"
    path = os.pathsep.join([str(directory), str(ours.parent)])

    assert doctor(PATH=path).one("program") == ("ok", str(ours), "")  # it cannot be run

    other.chmod(0o755)
    status, found, remedy = doctor(PATH=path).one("program")
    assert (status, found) == ("warning", f"PATH leads to {other}, and this is {ours}")
    assert remedy == f"put {ours.parent} first in PATH, or call {ours}"


def test_requests_that_are_left_are_counted(doctor: Doctor, directory: Path) -> None:
    place = directory / ".state" / "ledgerctl" / "pending"
    assert doctor().one("requests")[0] == "ok"
    place.mkdir(mode=0o700, parents=True)
    for number in range(2):
        (place / f"{number}.json").touch()

    assert doctor().one("requests") == ("warning", f"2 in {place} have no known outcome", "ledgerctl resolve")


def test_requests_that_others_may_read_are_a_warning(doctor: Doctor, directory: Path) -> None:
    place = directory / ".state" / "ledgerctl" / "pending"
    place.mkdir(parents=True)
    place.chmod(0o750)

    status, _, remedy = doctor().one("requests")

    assert (status, remedy) == ("warning", f"chmod 700 {place}")


def test_requests_that_cannot_be_kept_are_a_problem(
    doctor: Doctor, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory / ".state").touch()
    assert doctor().code == Exit.DIFFERENCES
    assert doctor.of("problem") == {"requests"}

    (directory / ".state").unlink()
    monkeypatch.setattr(
        "ledgerctl.cli.surroundings.os.access", lambda _path, mode: mode == os.X_OK
    )  # root may write everywhere
    assert doctor().of("problem") == {"requests"}


# -- where the metrics of jobs go ------------------------------------------------------------------------------------


def test_a_gateway_that_is_ready_is_well(doctor: Doctor, directory: Path) -> None:
    with gateways.real(directory) as url:
        assert doctor(LEDGERCTL_METRICS_PUSHGATEWAY=url).one("pushgateway") == ("ok", url, "")
        status, found, _ = doctor(LEDGERCTL_METRICS_PUSHGATEWAY=f"{url}/nothing").one("pushgateway")

    assert status == "warning"
    assert ": 404 Not Found" in found
    assert doctor.code == Exit.DONE


def test_a_gateway_is_asked_as_it_is_pushed_to(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its login, without a proxy, and not where a redirect leads."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with gateways.recording() as gateway:
        place = gateway.url.removeprefix("http://")
        assert doctor(LEDGERCTL_METRICS_PUSHGATEWAY=f"http://me:hidden@{place}/prefix/").one("pushgateway")[0] == "ok"
        with gateways.recording(302, location=f"{gateway.url}/elsewhere") as other:
            moved = doctor(LEDGERCTL_METRICS_PUSHGATEWAY=other.url).one("pushgateway")

    [sent] = gateway.sent
    assert (sent.method, sent.path, sent.authorization) == ("GET", "/prefix/-/ready", "Basic bWU6aGlkZGVu")
    assert moved[0] == "warning"
    assert ": 302 Found" in moved[1]
    assert "hidden" not in str(doctor.rows) + doctor.err


def test_a_gateway_that_never_answers_holds_nobody_up(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "TIMEOUT_S", 0.2)
    with gateways.dripping() as url:  # which goes on for as long as it is waited for
        status, found, _ = doctor(LEDGERCTL_METRICS_PUSHGATEWAY=url).one("pushgateway")

    assert (status, found.split(":")[-1].split(" within")[0]) == ("warning", " no answer")


def test_a_textfile_that_would_not_be_written_or_read_is_told(doctor: Doctor, directory: Path) -> None:
    def told(name: str) -> str:
        return doctor(LEDGERCTL_METRICS_TEXTFILE=str(directory / name)).one("textfile")[0]

    assert (told("job.prom"), list(directory.iterdir())) == ("ok", [])
    assert told("nowhere/job.prom") == "warning"
    assert (told("job.txt"), doctor.code) == ("problem", Exit.DIFFERENCES)


def test_metrics_whose_library_does_not_load_are_a_warning(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ledgerctl.pushing")
    monkeypatch.delattr(ledgerctl, "pushing")
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    status, found, remedy = doctor(LEDGERCTL_METRICS_TEXTFILE="job.prom").one("textfile")

    assert (status, remedy) == ("warning", "pip install --force-reinstall prometheus-client")
    assert "prometheus_client" in found
    assert doctor.one("pushgateway")[0] == "ok"


# -- Redis -----------------------------------------------------------------------------------------------------------


def tell(redis: Redis, *command: str) -> None:
    with closing(Client.from_url(redis.url)) as client:
        client.execute_command(*command)  # type: ignore[no-untyped-call]  # the library's only way to say any command


def test_a_redis_that_answers_is_well_and_its_password_not_shown(doctor: Doctor, redis: Redis) -> None:
    tell(redis, "ACL", "SETUSER", "me", "on", ">hidden", "~ledgerctl:*", "+@all")

    status, found, _ = doctor(LEDGERCTL_REDIS_URL=redis.url.replace("//", "//me:hidden@")).one("redis")

    assert status == "ok"
    assert re.fullmatch(r"unix://\*\*\*@/\S+ answers in \d+\.\d ms", found)
    assert "hidden" not in str(doctor.rows) + doctor.err


def test_a_redis_that_is_away_or_silent_is_a_warning_and_holds_nobody_up(doctor: Doctor, redis: Redis) -> None:
    told = {"LEDGERCTL_REDIS_URL": redis.url}
    redis.pause()
    started = time.monotonic()
    assert doctor(**told).one("redis")[0] == "warning"
    assert time.monotonic() - started < 5
    redis.kill()

    status, found, remedy = doctor(**told).one("redis")

    assert (status, doctor.code) == ("warning", Exit.DONE)
    assert found.startswith(f"{redis.url}: ConnectionError: ")
    assert remedy.endswith("ledgerctl config show --origin")
    assert doctor("--strict", **told).code == Exit.DIFFERENCES


@pytest.mark.parametrize(
    "url", ["redis:hidden@nowhere", "redis://:hidden@nowhere/?mood=hidden", "redis://:hidden@nowhere:port"]
)
def test_a_url_of_redis_that_is_none_is_a_problem_and_not_shown(doctor: Doctor, url: str) -> None:
    assert doctor(LEDGERCTL_REDIS_URL=url).code == Exit.DIFFERENCES
    assert doctor.of("problem") == {"redis"}
    assert "hidden" not in str(doctor.rows) + doctor.err


def test_a_library_that_is_lacking_is_a_problem(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)

    assert doctor().one("redis") == ("ok", "none is configured", "")
    assert doctor(LEDGERCTL_REDIS_URL="redis://nowhere").one("redis")[::2] == (
        "problem",
        "pip install 'ledgerctl[redis]'",
    )
    assert doctor.code == Exit.DIFFERENCES


def test_a_redis_that_may_lose_what_it_confirmed_is_a_problem(doctor: Doctor, redis: Redis) -> None:
    tell(redis, "REPLICAOF", "127.0.0.1", "1")

    assert doctor(LEDGERCTL_REDIS_URL=redis.url).code == Exit.DIFFERENCES
    status, found, _ = doctor.one("redis")
    assert status == "problem"
    assert "no balances are kept there: it has replicas, or is one" in found


def test_a_redis_that_will_refuse_writes_is_a_warning(doctor: Doctor, redis: Redis) -> None:
    tell(redis, "CONFIG", "SET", "maxmemory", "64000000")

    status, found, remedy = doctor(LEDGERCTL_REDIS_URL=redis.url).one("redis")
    assert (status, found.partition(", and ")[2]) == (
        "warning",
        "takes nothing more when 64 MB are full (maxmemory-policy noeviction)",
    )

    tell(redis, *remedy.split(",")[0].split())
    assert doctor(LEDGERCTL_REDIS_URL=redis.url).one("redis")[0] == "ok"


@pytest.fixture
def kept(posted: Doctor, redis: Redis) -> Doctor:
    """Where balances are read from Redis."""
    told = {"LEDGERCTL_REDIS_URL": redis.url, "LEDGERCTL_REDIS_BALANCES": "true"}
    deadline = time.monotonic() + 30
    while "kept in this" not in posted(**told).one("balance-cache")[1]:
        assert time.monotonic() < deadline
        posted.run("balance", "alice", **told)
    return posted


def test_balances_that_are_kept_here_are_well_and_elsewhere_a_warning(kept: Doctor, redis: Redis) -> None:
    def told(url: str) -> tuple[str, str, str]:
        return kept(LEDGERCTL_REDIS_URL=url).one("balance-cache")

    assert told(redis.url)[0] == "ok"

    status, found, _ = told("")
    assert (status, found) == (
        "warning",
        "kept in Redis, and without its url here: whoever posts from here closes that, and waits 1.25 s",
    )

    redis.kill()
    status, found, _ = told(redis.url)
    assert (status, found.rpartition("; ")[2]) == ("skipped", "needs redis")

    redis.start()
    status, found, _ = told(redis.url)
    assert (status, found.endswith("in another Redis, or in this one before it was started anew")) == ("warning", True)


def test_a_cache_that_was_closed_says_since_when_and_why(kept: Doctor, redis: Redis, conn: Connection) -> None:
    reads = {"LEDGERCTL_REDIS_URL": redis.url, "LEDGERCTL_REDIS_BALANCES": "true"}
    conn.execute("UPDATE cache_epochs SET server_started_at = server_started_at - interval '1 hour'")
    status, found, _ = kept(**reads).one("balance-cache")
    assert (status, found.endswith("replaced since; the next who posts waits 1.25 s")) == ("warning", True)

    conn.execute(
        """UPDATE cache_epochs SET server_started_at = pg_postmaster_start_time(), written_by = pg_current_xact_id(),
                                   state = 'on'"""
    )
    kept.run("transfer", "bank", "alice", "1")
    status, found, remedy = kept(**reads).one("balance-cache")
    [[closed]] = conn.execute(
        "SELECT to_char(changed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') FROM cache_epochs"
    ).fetchall()
    assert (status, remedy.startswith("nothing, if that is over")) == ("warning", True)
    assert found.startswith(f"not kept in Redis: closed {closed}T")
    assert ": a command without [redis] url posted (ledgerctl transfer " in found

    assert kept(LEDGERCTL_REDIS_URL=redis.url).one("balance-cache") == ("ok", "none are kept in Redis", "")
    assert kept().one("balance-cache") == ("ok", "none are kept in Redis", "")


def test_a_cache_that_is_about_to_be_is_told_and_none_that_ever_was(
    posted: Doctor, redis: Redis, conn: Connection
) -> None:
    assert posted(LEDGERCTL_REDIS_URL=redis.url).one("balance-cache") == ("ok", "none were ever kept in Redis", "")
    with closing(Client.from_url(redis.url)) as client:
        found = client.info()
    conn.execute(
        """INSERT INTO cache_epochs (ledger_id, purpose, id, state, instance, secret, file)
           SELECT id, 'balances', gen_random_uuid(), 'waiting', %s, '', pg_relation_filepath('cache_epochs')
           FROM ledgers""",
        [f"{found['run_id']}:{found['master_replid']}"],
    )

    status, words, _ = posted(LEDGERCTL_REDIS_URL=redis.url).one("balance-cache")
    assert (status, words.partition(", since ")[0]) == ("ok", "about to be kept in this Redis")

    conn.execute("UPDATE cache_epochs SET changed_at = changed_at - interval '61 s', written_by = pg_current_xact_id()")
    status, words, _ = posted(LEDGERCTL_REDIS_URL=redis.url).one("balance-cache")
    assert (status, words.endswith(" waiting for transactions that began before")) == ("warning", True)


# -- the server ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["postgresql://ledger:hidden@127.0.0.1:1/books", "host=/nonexistent password=hidden"])
def test_a_server_that_is_not_there_leaves_the_whole_table(doctor: Doctor, url: str) -> None:
    assert doctor(LEDGERCTL_DATABASE_URL=url).code == Exit.UNAVAILABLE

    assert doctor.checks == [*AROUND, *OF_DATABASE]
    assert doctor.of("problem") == {"connection"}
    assert doctor.of("skipped") == set(OF_DATABASE) - {"connection"}
    assert json.loads(doctor.err)["error"]["code"] == "DATABASE_UNAVAILABLE"
    assert "hidden" not in str(doctor.rows) + doctor.err


def test_a_server_that_goes_away_is_not_asked_again(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(conn: Connection) -> Any:
        return conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr(server, "dangerous", killed)

    assert doctor().code == Exit.UNAVAILABLE
    assert doctor.of("problem") == {"durability"}
    assert doctor.of("skipped") == set(OF_DATABASE[OF_DATABASE.index("durability") + 1 :])


LINK = Link("db.example", "192.0.2.1", 5432, "books", "ledger", encrypted=True, sslmode="verify-full")


@pytest.mark.parametrize(
    ("link", "status", "words"),
    [
        (LINK, "ok", "TLS, sslmode=verify-full"),
        (LINK._replace(sslmode="require"), "warning", "sslmode=require"),
        (LINK._replace(encrypted=False, sslmode="prefer"), "warning", "can be read"),
        (LINK._replace(address="127.0.0.1", encrypted=False), "ok", "stays on this machine"),
        (LINK._replace(address="fe80::1%eth0", encrypted=False), "warning", "can be read"),
        (LINK._replace(address="", encrypted=False), "ok", "stays on this machine"),
    ],
)
def test_what_leaves_the_machine_is_to_be_encrypted(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, link: Link, status: str, words: str
) -> None:
    monkeypatch.setattr(server, "link", lambda _conn: link)

    found = doctor().one("encryption")

    assert found[0] == status
    assert words in found[1]
    assert ("sslmode=verify-full" in found[2]) == (status != "ok")


def test_the_link_is_that_of_the_session(shared_conninfo: str) -> None:
    with psycopg.connect(shared_conninfo) as conn:
        link = server.link(conn)

        assert (link.host, link.database) == (conn.info.host, conn.info.dbname)

    assert (link.address, link.encrypted, link.sslmode) == ("", False, "prefer")


@pytest.mark.parametrize(
    ("fact", "check", "status"),
    [
        ({"version": 140012}, "server", "problem"),
        ({"standby": True}, "server", "problem"),
        ({"oldest": 600_000_000}, "wraparound", "warning"),
        ({"oldest": 1_600_000_000}, "wraparound", "problem"),
        ({"collation_then": "2.36", "collation_now": "2.41"}, "collation", "warning"),
    ],
)
def test_a_server_in_a_bad_condition(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, fact: dict[str, Any], check: str, status: str
) -> None:
    """Conditions that take years, or another machine."""
    real = server.condition

    def condition(conn: Connection) -> Condition:
        return real(conn)._replace(**fact)

    monkeypatch.setattr(server, "condition", condition)

    assert doctor().one(check)[0] == status
    assert doctor.code == (Exit.DIFFERENCES if status == "problem" else Exit.DONE)


def test_a_server_told_to_read_only_is_a_warning(apart: Doctor, conn: Connection, name: sql.Identifier) -> None:
    conn.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))

    assert apart().one("server")[0] == "warning"


def test_a_collation_of_another_version_is_a_warning(apart: Doctor, conn: Connection) -> None:
    conn.execute("UPDATE pg_database SET datcollversion = '0' WHERE datname = current_database()")

    status, found, remedy = apart().one("collation")

    assert status == "warning"
    assert "version 0" in found
    assert remedy.endswith(f"ALTER DATABASE {conn.info.dbname} REFRESH COLLATION VERSION")


def test_a_server_that_may_forget_and_is_not_marked_is_a_problem(
    apart: Doctor, conn: Connection, name: sql.Identifier
) -> None:
    assert [status for status, _, _ in apart()["durability"]] == ["warning"] * 3
    conn.execute(sql.SQL("ALTER DATABASE {} SET ledgerctl.ephemeral = off").format(name))

    assert apart().code == Exit.DIFFERENCES

    found = {words.split()[0]: (status, remedy) for status, words, remedy in apart["durability"]}
    assert found == {
        setting: (
            "problem",
            f"as a superuser, one after the other: ALTER SYSTEM SET {setting} = on; SELECT pg_reload_conf()",
        )
        for setting in ("fsync", "full_page_writes", "synchronous_commit")
    }


def test_a_setting_is_turned_round_where_it_was_made(
    apart: Doctor, conn: Connection, conninfo: str, name: sql.Identifier
) -> None:
    conn.execute(sql.SQL("ALTER DATABASE {} SET zero_damaged_pages = on").format(name))
    conn.execute(sql.SQL("ALTER DATABASE {} SET session_replication_role = replica").format(name))
    url = make_conninfo(conninfo, options="-c ignore_checksum_failure=on")

    found = {
        words.split()[0]: (status, remedy) for status, words, remedy in apart(LEDGERCTL_DATABASE_URL=url)["durability"]
    }

    assert found["zero_damaged_pages"] == (
        "problem",
        f"ALTER DATABASE {conn.info.dbname} SET zero_damaged_pages = off",
    )
    assert found["session_replication_role"] == (
        "problem",
        f"ALTER DATABASE {conn.info.dbname} SET session_replication_role = origin",
    )
    assert found["ignore_checksum_failure"] == (
        "problem",
        "take ignore_checksum_failure out of the options in database.url or PGOPTIONS",
    )


def test_a_log_that_tells_what_is_posted_is_a_warning(apart: Doctor, conn: Connection, name: sql.Identifier) -> None:
    def set_to(**settings: str) -> Doctor:
        for setting, value in settings.items():
            change = sql.SQL("ALTER DATABASE {} SET {} = {}").format(name, sql.Identifier(setting), sql.Literal(value))
            conn.execute(change)
        return apart()

    assert set_to(log_statement="mod", log_min_duration_statement="250ms").one("server-log")[0] == "ok"

    [of_statements, of_errors] = set_to(log_parameter_max_length="-1", log_parameter_max_length_on_error="20B")[
        "server-log"
    ]
    assert of_statements == (
        "warning",
        "log_min_duration_statement is 250, log_statement is mod, log_parameter_max_length is -1: "
        "what is posted is logged with its names and amounts",
        f"ALTER DATABASE {conn.info.dbname} SET log_parameter_max_length = 0",
    )
    assert of_errors[1].startswith("log_parameter_max_length_on_error is 20: what fails ")

    silent = {"log_statement": "ddl", "log_min_duration_statement": "-1", "log_parameter_max_length_on_error": "0"}
    assert set_to(**silent).one("server-log")[0] == "ok"


@pytest.mark.parametrize(("ahead_s", "status"), [(0, "ok"), (-30, "warning"), (30, "warning"), (-90, "problem")])
def test_clocks_that_differ(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, ahead_s: float, status: str) -> None:
    monkeypatch.setattr(examining_server, "time", SimpleNamespace(time=lambda: time.time() + ahead_s))

    assert doctor().one("clock")[0] == status


def test_a_session_that_stands_idle_in_a_transaction_is_named(doctor: Doctor, shared_conninfo: str) -> None:
    with psycopg.connect(shared_conninfo, application_name="forgotten") as idle:
        idle.execute("SELECT * FROM ledgers FOR UPDATE")

        status, found, remedy = doctor(LEDGERCTL_DATABASE_IDLE_TIMEOUT_MS="1").one("sessions")

        assert status == "warning"
        assert found.startswith(f"process {idle.info.backend_pid} (forgotten), idle in transaction, for ")
        assert found.endswith("may hold locks")
        assert f"SELECT pg_terminate_backend({idle.info.backend_pid})" in remedy
        assert doctor().one("sessions")[0] == "ok"  # not yet: by default it may stand for ten seconds


def test_sessions_that_are_not_shown_are_not_taken_for_none(
    apart: Doctor, conn: Connection, conninfo: str, as_application: str
) -> None:
    status, found, remedy = apart(LEDGERCTL_DATABASE_URL=as_application).one("sessions")

    assert (status, remedy) == ("skipped", "GRANT pg_read_all_stats TO ledger_app")
    assert "not shown to ledger_app" in found


def test_who_waits_for_whom_is_told(doctor: Doctor, shared_conninfo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a queue, the one at its head, who can be asked to make way."""
    with ExitStack() as ended:

        def session(application: str) -> psycopg.Connection[Any]:
            return ended.enter_context(psycopg.connect(shared_conninfo, application_name=application))

        busy = session("busy")
        busy.execute("LOCK TABLE bank_lines")
        queue = [session("first"), session("second")]
        holder, head = busy.info.backend_pid, queue[0].info.backend_pid
        threads = [Thread(target=conn.execute, args=["LOCK TABLE bank_lines"]) for conn in queue]
        for thread, waits in zip(threads, (1, 2), strict=True):
            thread.start()
            while len(waiting(shared_conninfo)) < waits:
                time.sleep(0.01)
        monkeypatch.setattr(examining_server, "WAITED_S", 60.0)
        before = doctor()["locks"]
        monkeypatch.setattr(examining_server, "WAITED_S", 0.0)
        told = doctor()["locks"]
        busy.rollback()
        threads[0].join()
        queue[0].rollback()
        threads[1].join()

    assert [status for status, _, _ in before] == ["ok"]
    [(status, found, remedy)] = told
    held_up = f"process {head} (first) and 1 more"
    assert status == "warning"
    assert found.startswith(f"{held_up} wait for process {holder} (busy), idle in transaction, for ")
    assert remedy.endswith(f"SELECT pg_terminate_backend({holder})")


def waiting(conninfo: str) -> list[Any]:
    with psycopg.connect(conninfo) as conn:
        return conn.execute("SELECT FROM pg_locks WHERE NOT granted AND relation = 'bank_lines'::regclass").fetchall()


def test_a_locked_table_holds_nobody_up(doctor: Doctor, shared_conninfo: str) -> None:
    with psycopg.connect(shared_conninfo) as busy:
        busy.execute("LOCK TABLE transaction_entries")

        doctor(LEDGERCTL_DATABASE_LOCK_TIMEOUT_MS="50")

    status, found, _ = doctor.one("balances")
    assert (status, found.split(":")[0]) == ("warning", "could not be examined")
    assert "lock timeout" in found
    assert doctor.one("totals")[0] == "ok"


# -- the schema, its guards and who works on it ----------------------------------------------------------------------


def test_another_schema_is_a_problem(apart: Doctor, conn: Connection) -> None:
    for revision, remedy in (("0000", "ledgerctl db upgrade"), ("9999", "use the ledgerctl that made it")):
        conn.execute("UPDATE alembic_version SET version_num = %s", [revision])

        assert apart().code == Exit.DIFFERENCES

        status, found, advice = apart.one("schema")
        assert (status, found.split(";")[0]) == ("problem", f"revision {revision}")
        assert migrate.HEAD in found
        assert advice.startswith(remedy)
        assert apart.of("skipped") == set(OF_DATABASE[OF_DATABASE.index("schema") + 1 :])


def test_an_empty_database_has_no_schema(doctor: Doctor, empty_conninfo: str) -> None:
    assert doctor(LEDGERCTL_DATABASE_URL=empty_conninfo).code == Exit.DIFFERENCES
    assert doctor.one("schema")[::2] == ("problem", "ledgerctl db upgrade")


CONSTRAINTS = """
    SELECT conname FROM pg_constraint
    WHERE conrelid IN ('accounts'::regclass, 'currencies'::regclass, 'transactions'::regclass,
                       'transaction_entries'::regclass)
      AND contype IN ('c', 'f') AND convalidated
      AND conname NOT LIKE '%_form' AND conname <> 'currencies_ledger'
"""
UNIQUE = """
    SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indisunique AND c.relnamespace = 'public'::regnamespace
      AND c.relname !~ '^(alembic|reconciliation)'
"""
DAMAGE = {
    "trigger accounts_check_update on accounts is switched off": """
        ALTER TABLE accounts DISABLE TRIGGER accounts_check_update
    """,
    "trigger imports_keep on imports can be switched off by a session": """
        ALTER TABLE imports ENABLE TRIGGER imports_keep
    """,
    "trigger audit_logs_append_only on audit_logs is missing": """
        DROP TRIGGER audit_logs_append_only ON audit_logs
    """,
    "trigger ledgers_no_truncate on ledgers runs another function": """
        CREATE FUNCTION allow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE OR REPLACE TRIGGER ledgers_no_truncate BEFORE TRUNCATE ON ledgers EXECUTE FUNCTION allow();
        ALTER TABLE ledgers ENABLE ALWAYS TRIGGER ledgers_no_truncate
    """,
    "function check_entries is not that of this program": """
        CREATE OR REPLACE FUNCTION check_entries() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'
    """,
}


def test_a_guard_that_is_gone_is_named_and_upgrade_brings_it_back(apart: Doctor, conn: Connection) -> None:
    for damage in DAMAGE.values():
        conn.execute(damage.encode())

    assert apart().code == Exit.DIFFERENCES
    assert {(status, found) for status, found, _ in apart["guards"]} == {("problem", words) for words in DAMAGE}
    assert all(remedy.startswith("ledgerctl db upgrade") for _, _, remedy in apart["guards"])

    assert apart.run("db", "upgrade").code == Exit.DONE
    assert apart().one("guards")[0] == "ok"


def test_all_triggers_and_functions_are_known(shared_conninfo: str) -> None:
    with psycopg.connect(shared_conninfo) as conn:
        there = conn.execute(
            """SELECT t.tgname, t.tgrelid::regclass::text, p.proname
               FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid WHERE NOT t.tgisinternal"""
        ).fetchall()

    assert {trigger: (table, function) for trigger, table, function in there} == quick_checks.TRIGGERS
    assert {function for _, _, function in there} == {name for name, _ in quick_checks._functions()}


@pytest.fixture
def as_application(conn: Connection, conninfo: str) -> str:
    """The conninfo of somebody who may do what ledger_app may."""
    roles.apply(conn)
    return make_conninfo(conninfo, options="-c role=ledger_app")


def test_a_right_that_is_lacking_is_named(apart: Doctor, conn: Connection, as_application: str) -> None:
    assert apart(LEDGERCTL_DATABASE_URL=as_application).code == Exit.DONE
    assert apart.one("role") == ("ok", "ledger_app", "")
    assert apart.one("rights")[0] == "ok"

    lacking = [
        "SELECT ON account_balances",
        "SELECT ON live_epochs",
        "INSERT ON reconciliation_digests",
        "UPDATE (balance) ON accounts",
        "UPDATE (secret) ON cache_epochs",
    ]
    for right in lacking:
        conn.execute(f"REVOKE {right} FROM ledger_app".encode())

    assert apart(LEDGERCTL_DATABASE_URL=as_application).code == Exit.DIFFERENCES
    remedy = "ledgerctl db roles, then GRANT ledger_app TO ledger_app"
    assert apart.one("rights") == ("problem", f"ledger_app lacks {', '.join(lacking)}", remedy)


def test_what_may_not_be_asked_is_not_taken_for_well(apart: Doctor, conn: Connection, as_application: str) -> None:
    conn.execute("REVOKE SELECT ON alembic_version FROM ledger_app")

    status, found, remedy = apart(LEDGERCTL_DATABASE_URL=as_application).one("schema")

    assert status == "problem"
    assert remedy.startswith("GRANT ledger_app TO this login")
    assert "permission denied" in found
    assert apart.one("balances") == ("skipped", "needs schema", "")


def test_who_only_reads_is_told_so_and_may_watch(
    apart: Doctor, conn: Connection, conninfo: str, as_application: str
) -> None:
    of_accounts = {"balances", "totals", "posting-times", "balance-cache"}
    for role, hidden in (("ledger_ro", set()), ("ledger_metrics", of_accounts)):
        url = make_conninfo(conninfo, options=f"-c role={role}")
        assert apart(LEDGERCTL_DATABASE_URL=url).code == Exit.DONE
        assert apart.one("rights")[:2] == ("skipped", f"{role} only reads")
        assert apart.of("skipped") == {"rights", "sessions", *hidden}


def test_constraints_and_indexes_that_are_gone_are_named(apart: Doctor, conn: Connection) -> None:
    conn.execute("DROP INDEX transactions_idempotency_key")
    conn.execute("ALTER TABLE accounts DROP CONSTRAINT accounts_min_balance")

    assert apart().code == Exit.DIFFERENCES

    named = {found for _, found, _ in apart["guards"]}
    assert named == {"index transactions_idempotency_key is missing", "constraint accounts_min_balance is missing"}


def test_the_constraints_that_are_looked_for_are_those_of_the_schema(shared_conninfo: str) -> None:
    with psycopg.connect(shared_conninfo) as conn:
        ours = {name for (name,) in conn.execute(CONSTRAINTS).fetchall()}
        unique = {name for (name,) in conn.execute(UNIQUE).fetchall()}

    assert set(quick_checks.CONSTRAINTS) == ours
    assert set(quick_checks.UNIQUE) == unique


def test_whoever_may_do_more_than_is_needed_is_told(apart: Doctor, conninfo: str, as_application: str) -> None:
    assert "superuser" in apart().one("role")[1]

    status, found, remedy = apart(LEDGERCTL_DATABASE_URL=as_application.replace("ledger_app", "ledger_owner")).one(
        "role"
    )

    assert (status, found.split(",")[0]) == ("warning", "ledger_owner owns the tables")
    assert "GRANT ledger_app" in remedy


def test_a_ledger_that_is_not_there_is_a_problem(doctor: Doctor) -> None:
    assert doctor("-l", "nosuch").code == Exit.DIFFERENCES

    status, _, remedy = doctor.one("ledger")
    assert status == "problem"
    assert remedy.endswith("ledgerctl ledger create nosuch")
    assert doctor.of("skipped") == {"posting-times", "balances", "totals", "reconciliation", "imports", "balance-cache"}


# -- what the books say ----------------------------------------------------------------------------------------------


@pytest.fixture
def posted(apart: Doctor) -> Doctor:
    for code in ("bank", "alice"):
        apart.run("account", "create", code, "--currency", "EUR", "--min-balance", "none")
    apart.run("transfer", "bank", "alice", "100", "-i", "deposit")
    return apart


def test_good_books_are_well(posted: Doctor) -> None:
    assert posted().one("balances") == ("ok", "2 accounts stand where their last entry says", "")
    assert posted.code == Exit.DONE


def test_a_balance_that_was_changed_is_found(posted: Doctor, conn: Connection) -> None:
    conn.execute("ALTER TABLE accounts DISABLE TRIGGER ALL")
    conn.execute("UPDATE accounts SET balance = balance + 1 WHERE code = 'alice'")

    assert posted().code == Exit.DIFFERENCES

    status, found, _ = posted.one("balances")
    assert (status, found.rpartition(" ")[2]) == ("problem", "alice")
    assert posted.one("totals")[:2] == ("problem", "the balances sum to 1.00 EUR, not to zero")


def test_an_entry_after_the_last_one_is_found(posted: Doctor, conn: Connection) -> None:
    conn.execute("ALTER TABLE accounts DISABLE TRIGGER ALL")
    conn.execute("UPDATE accounts SET seq = 0, balance = 0")

    assert posted().one("balances")[1].endswith(": alice, bank")
    assert posted.one("totals")[0] == "ok"


def test_accounts_posted_to_in_the_future_are_told(posted: Doctor, conn: Connection) -> None:
    conn.execute("UPDATE accounts SET last_posted_at = clock_timestamp() + interval '1 hour' WHERE code = 'alice'")

    assert posted().one("posting-times")[0] == "warning"
    assert posted.one("posting-times")[1].startswith("1 accounts were posted to later than now, up to ")


def test_books_that_nobody_reconciles_are_a_warning(posted: Doctor, conn: Connection) -> None:
    assert posted().one("reconciliation") == ("ok", "not yet; the ledger is new", "")

    conn.execute("UPDATE ledgers SET created_at = clock_timestamp() - interval '72 hours'")
    assert posted().one("reconciliation")[:2] == ("warning", "never, and the ledger was created 72 h ago")

    conn.execute(
        """INSERT INTO reconciliations (ledger_id, mode, status, checked, findings, actor, started_at, finished_at)
           SELECT id, 'full', 'clean', '{}', '[]', 'cron', created_at, created_at + interval '12 hours' FROM ledgers"""
    )
    conn.execute(
        """INSERT INTO reconciliations (ledger_id, mode, status, checked, findings, actor, started_at, account_id)
           SELECT id, 'statement', 'clean', '{}', '[]', 'cron', now(), 1 FROM ledgers"""
    )  # an account that agrees with its bank says nothing of the books
    assert posted().one("reconciliation")[:2] == ("warning", "the last run was 60 h ago")

    assert posted.run("reconcile").code == Exit.DONE
    assert posted().one("reconciliation") == ("ok", "clean, 0 h ago", "")


def test_differences_that_were_found_are_a_problem(posted: Doctor, conn: Connection) -> None:
    conn.execute("ALTER TABLE accounts DISABLE TRIGGER ALL")
    conn.execute("UPDATE accounts SET balance = 0")
    assert posted.run("reconcile").code == Exit.DIFFERENCES

    assert posted().one("reconciliation")[:2] == ("problem", "the last run, 0 h ago, found 2 differences")


def test_an_import_that_was_cut_short_is_named(posted: Doctor, conn: Connection, conninfo: str) -> None:
    receipt = """INSERT INTO imports (ledger_id, file, sha256, status, actor, decided, finished_at)
                 SELECT id, 'may.csv', '\\x00', 'partial', 'ops', 2000, %s::timestamptz FROM ledgers"""
    conn.execute(receipt, [None])
    status, found, remedy = posted().one("imports")
    assert (status, found) == ("warning", "import 1 of may.csv was cut short after 2,000 rows")
    assert remedy.startswith("ledgerctl import may.csv")

    with psycopg.connect(conninfo, application_name="ledgerctl import 7@host"):
        assert posted().one("imports")[0] == "ok"

    conn.execute(receipt, ["2026-01-31T12:00:00Z"])
    assert posted().one("imports") == ("ok", "none was cut short", "")


# -- an embedded server ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A cluster of this module's own, with the ledger `main`, shut down: what is in it survives a kill -9."""
    parent = Path(tempfile.mkdtemp(prefix="ledgerctl-test-"))
    parent.chmod(0o711)
    directory = parent / "data"
    embedded.create(directory, ephemeral=True)
    migrate.upgrade(embedded.conninfo(directory))
    with closing(database_at(embedded.conninfo(directory))) as database:
        create_ledger(database, "main", "tests", "cluster")
    with (directory / "pgdata" / "postgresql.conf").open("a") as settings:
        settings.write("max_prepared_transactions = 1\n")
        settings.write("wal_level = replica\nmax_wal_senders = 1\nsynchronous_standby_names = 'nobody'\n")
    embedded.stop(directory)
    yield directory
    embedded.stop(directory)
    shutil.rmtree(parent)


@pytest.fixture
def at_home(in_process: Command, cluster: Path) -> Doctor:
    """On an embedded server that runs and holds a ledger."""

    def run(*args: str, **options: Any) -> Run:
        return in_process(*args, **{"LEDGERCTL_DATABASE_URL": f"embedded:{cluster}", **options})

    embedded.start(cluster)
    return Doctor(run)


def test_an_embedded_server_that_runs_is_well(at_home: Doctor) -> None:
    assert at_home().code == Exit.DONE
    assert at_home.checks == [*AROUND, "embedded", "disk", "file-system", *OF_DATABASE]
    assert at_home.of("warning") == {"durability"}
    assert at_home.one("file-system")[0] == "ok"


def test_a_prepared_transaction_is_named(at_home: Doctor, cluster: Path) -> None:
    with psycopg.connect(embedded.conninfo(cluster), autocommit=True) as conn:
        conn.execute("BEGIN; SELECT * FROM ledgers FOR UPDATE; PREPARE TRANSACTION 'left'")
        try:
            status, found, remedy = at_home().one("sessions")
        finally:
            conn.execute("ROLLBACK PREPARED 'left'")

    assert (status, remedy) == ("warning", "COMMIT PREPARED 'left', or ROLLBACK PREPARED 'left'")
    assert found.startswith("the prepared transaction 'left' keeps its locks, for ")


def test_a_commit_that_waits_for_a_standby_is_told(
    at_home: Doctor, cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The standby that is named is not there."""
    monkeypatch.setattr(examining_server, "WAITED_S", 0.0)
    with psycopg.connect(embedded.conninfo(cluster), autocommit=True) as conn:
        conn.execute("SET synchronous_commit = on; SET client_min_messages = error")
        thread = Thread(target=conn.execute, args=["CREATE TABLE kept ()"])
        thread.start()
        deadline = time.monotonic() + 10
        while at_home().one("locks")[0] == "ok" and time.monotonic() < deadline:
            time.sleep(0.01)
        conn.cancel_safe()
        thread.join()

    assert at_home.one("locks")[1] == "1 wait until a standby has what they committed"
    assert at_home().one("locks")[0] == "ok"

    monkeypatch.setenv("PGOPTIONS", "-c synchronous_commit=local")
    found = [words for _, words, _ in at_home()["durability"] if words.startswith("synchronous_commit")]
    assert found == ["synchronous_commit is local: when a standby takes over, it may lack what was committed"]


def test_an_embedded_server_that_does_not_run_is_not_started(at_home: Doctor, cluster: Path) -> None:
    embedded.stop(cluster)

    assert at_home().code == Exit.DONE
    assert at_home.one("embedded") == ("warning", "not running; the next command starts it", "ledgerctl db start")
    assert at_home.of("skipped") == set(OF_DATABASE)
    assert at_home("--strict").code == Exit.DIFFERENCES
    assert not embedded.status(cluster).running


def test_an_embedded_server_that_was_killed_is_told_from_one_that_was_stopped(at_home: Doctor, cluster: Path) -> None:
    pid = embedded.status(cluster).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while embedded.status(cluster).running and time.monotonic() < deadline:
        time.sleep(0.01)

    status, found, remedy = at_home().one("embedded")

    assert (status, remedy) == ("warning", "ledgerctl db start")
    assert "a crash or a kill" in found


def test_a_cluster_of_another_postgresql_is_a_problem(at_home: Doctor, cluster: Path) -> None:
    version = cluster / "pgdata" / "PG_VERSION"
    right = version.read_text()
    version.write_text("14\n")
    try:
        assert at_home().code == Exit.DIFFERENCES
        assert (
            at_home.one("embedded")[1] == f"made by PostgreSQL 14, and this program brings PostgreSQL {right.strip()}"
        )
    finally:
        version.write_text(right)


def test_a_directory_without_a_cluster_is_told(in_process: Command, directory: Path) -> None:
    doctor = Doctor(in_process)

    assert doctor(LEDGERCTL_DATABASE_URL=f"embedded:{directory}/nothing").code == Exit.UNAVAILABLE
    assert doctor.one("embedded")[::2] == ("problem", "run ledgerctl init")
    assert doctor.of("skipped") == set(OF_DATABASE)
    assert not (directory / "nothing").exists()


@pytest.mark.parametrize(
    ("disk", "statuses"),
    [
        (Disk(50 * 10**9, "ext4"), ("ok", "ok")),
        (Disk(10**9, ""), ("warning", "ok")),
        (Disk(50 * 10**6, "nfs4"), ("problem", "problem")),
        (Disk(50 * 10**9, "overlay"), ("ok", "problem")),
        (Disk(50 * 10**9, "tmpfs"), ("ok", "problem")),
    ],
)
def test_a_disk_that_does_not_hold_the_books(
    directory: Path, monkeypatch: pytest.MonkeyPatch, disk: Disk, statuses: tuple[str, str]
) -> None:
    monkeypatch.setattr(embedded_disk, "under", lambda _directory: disk)
    status = embedded.Status(directory, True, 7, "18", 0, directory, cut_short=False, ephemeral=False)

    found = {one.check: one.status for one in examining_directory.examine(directory, status)}

    assert (found["disk"], found["file-system"]) == statuses


def test_the_file_system_is_that_of_the_directory(directory: Path) -> None:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    memory = next((Path(words[1]) for words in mounts if words[2] == "tmpfs" and os.access(words[1], os.W_OK)), None)
    if memory is None:
        pytest.skip("no tmpfs here")
    place = memory / f"ledgerctl-test-{os.getpid()}"
    (place / "pgdata").mkdir(parents=True)
    try:
        found = embedded_disk.under(place)
    finally:
        shutil.rmtree(place)

    assert found.kind == "tmpfs"
    assert found.free_bytes > 0
