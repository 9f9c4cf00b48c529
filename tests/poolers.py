"""A real PgBouncer in transaction mode: each transaction may have another session of the server."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

BINARY = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
_PORT = 6432
_KEEPS = (1, 21)
"""Since then it may keep what was prepared, which is what it shall not do here."""


@contextmanager
def pooler(conninfo: str, sessions: int) -> Iterator[str]:
    """The same database behind a PgBouncer of its own, which has so many sessions of the server."""
    if BINARY is None:
        pytest.skip("there is no PgBouncer here (Debian: pgbouncer)")
    server = conninfo_to_dict(conninfo)
    # It does not run as root, and the server lets its own user in.
    owner = pwd.getpwuid(Path(str(server["host"])).stat().st_uid)
    directory = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    os.chown(directory, owner.pw_uid, owner.pw_gid)
    directory.chmod(0o755)
    settings = directory / "pgbouncer.ini"
    settings.write_text(
        f"""
        [databases]
        * = host={server["host"]} port={server["port"]} user={server["user"]}
        [pgbouncer]
        pool_mode = transaction
        default_pool_size = {sessions}
        auth_type = any
        unix_socket_dir = {directory}
        listen_port = {_PORT}
        {"max_prepared_statements = 0" if _version() >= _KEEPS else ""}
        """
    )
    log = directory / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [BINARY, settings], stdout=out, stderr=out, user=owner.pw_name if os.geteuid() == 0 else None
        )
    try:
        pooled = make_conninfo("", host=str(directory), port=_PORT, user=server["user"], dbname=server["dbname"])
        _wait(pooled, process, log)
        yield pooled
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(directory)


def _version() -> tuple[int, ...]:
    told = subprocess.run([str(BINARY), "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, re.findall(r"\d+", told)[:2]))


def _wait(conninfo: str, process: subprocess.Popen[bytes], log: Path) -> None:
    while True:
        assert process.poll() is None, log.read_text()
        try:
            psycopg.connect(conninfo).close()
            return
        except psycopg.OperationalError:
            time.sleep(0.02)
