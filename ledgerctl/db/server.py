"""Questions about the server and the session, for whoever looks for what is wrong with them. Any role may ask."""

from __future__ import annotations

from ipaddress import ip_address
from typing import NamedTuple

from psycopg.rows import class_row

from ledgerctl.db.connection import Connection

CONDITION = """
    SELECT current_setting('server_version_num')::int AS version, pg_is_in_recovery() AS standby,
           current_setting('default_transaction_read_only') = 'on' AS read_only,
           coalesce(current_setting('ledgerctl.ephemeral', true), '') = 'on' AS ephemeral,
           quote_ident(current_database()) AS database, quote_ident(current_user) AS role,
           greatest(age(d.datfrozenxid), mxid_age(d.datminmxid)) AS oldest,
           d.datcollversion AS collation_then, pg_database_collation_actual_version(d.oid) AS collation_now
    FROM pg_database d
    WHERE d.datname = current_database()
"""
# With the first three a commit may be lost, with the others damage is not noticed, or is made worse.
DANGEROUS = """
    SELECT name, setting, source, context = 'postmaster' AS restart
    FROM pg_settings
    WHERE (name, setting) IN (
        ('fsync', 'off'), ('full_page_writes', 'off'), ('synchronous_commit', 'off'),
        ('data_sync_retry', 'on'), ('zero_damaged_pages', 'on'), ('ignore_checksum_failure', 'on'),
        ('data_checksums', 'off'))
    ORDER BY name
"""
CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float"
# What stands idle within a transaction keeps its locks; only a transaction that has written or locked has a number.
SESSIONS = """
    SELECT pid, application_name AS application, state, backend_xid IS NOT NULL AS locks,
           extract(epoch FROM clock_timestamp() - xact_start)::float AS seconds
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
      AND (xact_start < clock_timestamp() - make_interval(secs => %(open_s)s)
           OR (starts_with(state, 'idle in transaction')
               AND state_change < clock_timestamp() - make_interval(secs => %(idle_s)s)))
    ORDER BY xact_start
"""
HIDDEN = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND NOT pg_has_role(usesysid, 'USAGE')
      AND NOT pg_has_role('pg_read_all_stats', 'USAGE')
"""
PREPARED = """
    SELECT quote_literal(gid) AS gid, extract(epoch FROM clock_timestamp() - prepared)::float AS seconds
    FROM pg_prepared_xacts
    WHERE database = current_database()
    ORDER BY prepared
"""


class Link(NamedTuple):
    """How the server was reached."""

    host: str
    address: str
    """Empty for a socket."""
    port: int
    database: str
    user: str
    encrypted: bool
    sslmode: str

    @property
    def leaves_the_machine(self) -> bool:
        return bool(self.address) and not ip_address(self.address.partition("%")[0]).is_loopback


class Condition(NamedTuple):
    version: int
    standby: bool
    read_only: bool
    """Sessions that do not say otherwise only read; ours say it."""
    ephemeral: bool
    database: str
    role: str
    """Both quoted, to stand in a statement."""
    oldest: int
    """So many transaction numbers ago is the oldest that is not frozen."""
    collation_then: str | None
    collation_now: str | None


class Setting(NamedTuple):
    name: str
    setting: str
    source: str
    restart: bool
    """Whether it changes only when the server starts."""


class Session(NamedTuple):
    """One whose transaction has been open, or idle, for too long."""

    pid: int
    application: str
    state: str
    locks: bool
    seconds: float


class Prepared(NamedTuple):
    """A transaction that waits for a second phase, and keeps its locks over a restart. `gid` is quoted."""

    gid: str
    seconds: float


def link(conn: Connection) -> Link:
    info = conn.info
    sslmode = info.get_parameters().get("sslmode", "prefer")
    return Link(info.host, info.hostaddr, info.port, info.dbname, info.user, conn.pgconn.ssl_in_use, sslmode)


def condition(conn: Connection) -> Condition:
    [found] = conn.cursor(row_factory=class_row(Condition)).execute(CONDITION).fetchall()
    return found


def dangerous(conn: Connection) -> list[Setting]:
    """Settings with which money may be lost or damage may pass."""
    return conn.cursor(row_factory=class_row(Setting)).execute(DANGEROUS).fetchall()


def clock(conn: Connection) -> float:
    """The server's time, in seconds since the epoch."""
    [[seconds]] = conn.execute(CLOCK).fetchall()
    return float(seconds)


def sessions(conn: Connection, open_s: float, idle_s: float) -> list[Session]:
    """Those with a transaction open for so long, or idle in one for so long."""
    asked = {"open_s": open_s, "idle_s": idle_s}
    return conn.cursor(row_factory=class_row(Session)).execute(SESSIONS, asked).fetchall()


def hidden(conn: Connection) -> int:
    """How many sessions this role is not told about."""
    [[count]] = conn.execute(HIDDEN).fetchall()
    return int(count)


def prepared(conn: Connection) -> list[Prepared]:
    return conn.cursor(row_factory=class_row(Prepared)).execute(PREPARED).fetchall()
