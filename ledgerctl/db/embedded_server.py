"""The server process of an embedded cluster: is it there, start it, shut it down, and where its socket is.

Every function is given the resolved directory; those that change something expect the lock of `embedded` to be held.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

from ledgerctl.db import embedded_install as install
from ledgerctl.db.embedded_install import Owner, failed

PORT = 5432  # only the name of the socket: nothing listens on TCP
SOCKET = f".s.PGSQL.{PORT}"
SOCKET_PATH_BYTES_MAX = 103  # sun_path on macOS, which has the shorter one, without its final NUL
LOG_BYTES_MAX = 10_000_000

START_SECONDS = 60
STOP_SECONDS = 60
ORPHAN_SECONDS = 20
POLL_SECONDS = 0.005

ORPHANS = "pre-existing shared memory block"
# The shell is gone at once, so that the server is nobody's child: a command that lives long need not reap it.
SPAWN = 'log=$1; shift; "$@" </dev/null >>"$log" 2>&1 & echo $!'


# -- starting and stopping -------------------------------------------------------------------------------------------


def ensure_running(directory: Path, owner: Owner) -> None:
    """Return when the server accepts connections, whatever state it was in."""
    if look(directory)[1] == "ready" and _answers(directory):
        return
    found = install.find(directory, owner)
    if (made_by := version(directory)) != found.major:
        raise failed(
            directory,
            f"was made by PostgreSQL {made_by}, and this program brings PostgreSQL {found.major}",
            hint="dump it with the version of ledgerctl that made it, and restore it into a new directory",
        )

    install.refuse_unreachable(directory, owner)

    began = time.monotonic()
    spawned: int | None = None
    said_before = 0
    stale = ""
    # One that was killed this moment still looks ready, and answers nobody.
    while (state := look(directory, stale)[1]) != "ready" or not _answers(directory):
        if not state and (spawned is None or not _is_server(spawned, directory)):
            if spawned is not None:
                _judge_death(directory, said_before, time.monotonic() - began)
            _remove_misleading_pid_files(directory)
            stale = _read(directory / "pgdata" / "postmaster.pid")
            spawned, said_before = _spawn(directory, owner, found.bin)
        if time.monotonic() - began > START_SECONDS:
            raise failed(
                directory,
                f"is not ready after {START_SECONDS} s:\n{_last_words(directory, said_before)}",
                hint="after a crash it may need longer to recover: run the command again",
            )
        time.sleep(POLL_SECONDS)


def _spawn(directory: Path, owner: Owner, binaries: Path) -> tuple[int, int]:
    """Set the server going; its pid, and how long the log was before."""
    place = _make_socket_directory(directory, owner)
    log = directory / "server.log"
    size = log.lstat().st_size if log.exists() else 0
    if size > LOG_BYTES_MAX:
        log.replace(directory / "server.log.1")
        size = 0

    # conninfo() relies on these three: on the command line no file and no ALTER SYSTEM can change them.
    listen = ["-h", "", "-k", str(place), "-p", str(PORT)]
    server = [str(binaries / "postgres"), "-D", str(directory / "pgdata"), *listen]
    done = install.run(owner, ["/bin/sh", "-c", SPAWN, "sh", log, *server], detach=True)
    if done.returncode:
        raise failed(directory, f"could not be started:\n{last_lines(done.stderr)}")
    return int(done.stdout), size


def _judge_death(directory: Path, said_before: int, waited_s: float) -> None:
    """Let it be tried again while processes of a killed server are still ending; anything else is an error."""
    words = _last_words(directory, said_before)
    if ORPHANS not in words or waited_s > ORPHAN_SECONDS:
        raise failed(directory, f"did not start:\n{words}")
    time.sleep(0.1)


def _remove_misleading_pid_files(directory: Path) -> None:
    """Remove what PostgreSQL would believe for ever: a pid file that is empty, or whose pid is now another program.

    Only when nobody answers on the socket. A file with a dead pid is left to PostgreSQL, which looks through it for
    processes that have outlived their server; without it they are still found, by the memory they hold.
    """
    if _answers(directory):
        return
    for file in (directory / "pgdata" / "postmaster.pid", socket_directory(directory) / f"{SOCKET}.lock"):
        pid, _ = _recorded(_read(file))
        if pid is None or (_exists(pid) and _is_another_program(pid)):
            file.unlink(missing_ok=True)


def shut_down(directory: Path) -> bool:
    """Stop the server and wait until it is gone; False when there was none."""
    pid, state = look(directory)
    if not state:
        return False
    if pid is None:
        raise failed(directory, "is run by a process that cannot be seen from here")

    os.kill(pid, signal.SIGINT)  # "fast": open transactions are rolled back
    began = time.monotonic()
    while _is_server(pid, directory):
        if time.monotonic() - began > STOP_SECONDS:
            raise failed(
                directory,
                f"is still shutting down after {STOP_SECONDS} s",
                # Told to stop while it recovers from a crash, a server of version 18 was seen to wait for ever.
                hint=f"kill -QUIT {pid} ends it at once; the next start recovers, and loses nothing",
            )
        time.sleep(POLL_SECONDS)
    return True


# -- looking ---------------------------------------------------------------------------------------------------------


def look(directory: Path, stale: str = "") -> tuple[int | None, str]:
    """The pid and the state of the living server ("starting", "ready", "stopping"); (None, "") when there is none.

    One that answers although its pid is not to be seen, from another container, has no pid and is ready. A pid file
    known to be `stale` says nothing, even when a new server has the old pid, as happens when containers restart.
    """
    text = _read(directory / "pgdata" / "postmaster.pid")
    pid, state = _recorded(text)
    if pid is not None and text != stale and _is_server(pid, directory):
        return pid, state
    return (None, "ready") if _answers(directory) else (None, "")


def _recorded(pid_file: str) -> tuple[int | None, str]:
    """What a pid file says: the pid on its first line (negative in single-user mode), the state on its eighth."""
    lines = pid_file.splitlines()
    pid = int(lines[0].lstrip("-")) if lines and lines[0].lstrip("-").isdecimal() else None
    return pid, lines[7].strip() if len(lines) > 7 else "starting"


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except FileNotFoundError:
        return ""


def _is_server(pid: int, directory: Path) -> bool:
    """Whether the process is the server of this directory, one that somebody started by hand included."""
    command, pgdata = _command_line(pid), directory / "pgdata"
    return "postgres" in command and (f" -D {pgdata} " in f"{command} " or _works_in(pid) == pgdata)


def _is_another_program(pid: int) -> bool:
    """For a pid that is not the server; in doubt, for a PostgreSQL whose directory cannot be seen, no."""
    return "postgres" not in _command_line(pid) or _works_in(pid) is not None


def _works_in(pid: int) -> Path | None:
    """Every process of a server works in its cluster; None where that is not to be seen."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None


def _command_line(pid: int) -> str:
    """Empty for a process that is gone, a zombie among them."""
    if Path("/proc/self").exists():
        try:
            return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" "))
        except OSError:
            return ""
    ps = ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)]  # macOS
    return subprocess.run(ps, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603 - a number


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _answers(directory: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as attempt:
        try:
            attempt.connect(str(socket_directory(directory) / SOCKET))
        except OSError:
            return False
        return True


def version(directory: Path) -> str:
    """The major version of PostgreSQL that made the cluster."""
    return (directory / "pgdata" / "PG_VERSION").read_text().strip()


def size_bytes(directory: Path) -> int:
    """What the files of the cluster hold together."""
    total = 0
    for parent, _, names in os.walk(directory / "pgdata"):
        for name in names:
            try:
                total += (Path(parent) / name).lstat().st_size
            except FileNotFoundError:  # the server is at work
                continue
    return total


def _last_words(directory: Path, said_before: int) -> str:
    log = directory / "server.log"
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(said_before)
        return last_lines(file.read().decode(errors="replace"))


def last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-10:])


# -- the socket ------------------------------------------------------------------------------------------------------


def socket_directory(directory: Path) -> Path:
    """`run`, or for a path too long or too odd for a connection string a name in /tmp that follows from the path."""
    place = directory / "run"
    if len(os.fsencode(place / SOCKET)) <= SOCKET_PATH_BYTES_MAX and re.fullmatch(r"[\w@%+=:./-]+", str(place), re.A):
        return place

    from hashlib import sha256

    # Not tempfile's: TMPDIR differs between a terminal and cron, and both must find the same server.
    return Path("/tmp") / f"ledgerctl-{sha256(os.fsencode(directory)).hexdigest()[:20]}"  # noqa: S108


def _make_socket_directory(directory: Path, owner: Owner) -> Path:
    place = socket_directory(directory)
    install.run(owner, ["/bin/mkdir", "-m", "700", place])  # by the owner, so that it never belonged to anybody else
    refuse_foreign_socket(directory, place, owner.uid)
    return place


def refuse_foreign_socket(directory: Path, place: Path, uid: int) -> None:
    """A name in /tmp may have been taken by somebody who would like to be connected to."""
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & 0o077:
        detail = f"cannot use '{place}' for its socket: it is not a private directory of '{install.user_name(uid)}'"
        raise failed(directory, detail)
