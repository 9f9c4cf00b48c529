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
# With the first a commit may be lost; with the others damage is not noticed, is made worse, or may pass. A commit that
# does not wait for the standby that is named may be lost when that one takes over.
DANGEROUS = """
    SELECT s.name, s.setting, d.wanted, s.source, s.context = 'postmaster' AS restart
    FROM pg_settings s
    JOIN (VALUES ('fsync', 'off', 'on'), ('full_page_writes', 'off', 'on'), ('synchronous_commit', 'off', 'on'),
                 ('synchronous_commit', 'local', 'on'),
                 ('data_sync_retry', 'on', 'off'), ('zero_damaged_pages', 'on', 'off'),
                 ('ignore_checksum_failure', 'on', 'off'), ('data_checksums', 'off', 'on'),
                 ('session_replication_role', 'replica', 'origin')) AS d(name, setting, wanted) USING (name, setting)
    WHERE s.setting <> 'local' OR current_setting('synchronous_standby_names') <> ''
    ORDER BY s.name
"""
# Our statements hold no values: their text may be logged. What is sent beside it are names, memos and amounts.
LOG_PARAMETERS = """
    SELECT name, setting, '0' AS wanted, source, false AS restart
    FROM pg_settings
    WHERE name IN ('log_parameter_max_length', 'log_parameter_max_length_on_error') AND setting <> '0'
    ORDER BY name
"""
LOG_STATEMENTS = """
    SELECT name || ' is ' || setting
    FROM pg_settings
    WHERE (name = 'log_statement' AND setting IN ('mod', 'all'))
       OR (name = 'log_min_duration_statement' AND setting <> '-1')
       OR (name = 'log_min_duration_sample' AND setting <> '-1'
           AND current_setting('log_statement_sample_rate')::float > 0)
       OR (name = 'log_transaction_sample_rate' AND setting::float > 0)
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
# Whoever waits himself holds nobody up, though others stand behind him. A blocker without a process is a prepared
# transaction, of which `sessions` tells.
WAITING = """
    WITH waiting AS (
        SELECT l.pid, s.application_name AS application, pg_blocking_pids(l.pid) AS blockers,
               extract(epoch FROM clock_timestamp() - l.waitstart)::float AS seconds
        FROM pg_locks l
        JOIN pg_stat_activity s ON s.pid = l.pid
        WHERE NOT l.granted AND s.datname = current_database()
    )
    SELECT DISTINCT ON (h.pid) w.pid, w.application, w.seconds, count(*) OVER (PARTITION BY h.pid) - 1 AS others,
           h.pid AS holder, h.application_name AS holder_application, h.state AS holder_state
    FROM waiting w
    JOIN pg_stat_activity h ON h.pid = ANY(w.blockers)
    WHERE w.seconds > %s AND h.pid NOT IN (SELECT pid FROM waiting)
    ORDER BY h.pid, w.seconds DESC
"""
FOR_A_STANDBY = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event = 'SyncRep'
      AND state_change < clock_timestamp() - make_interval(secs => %s)
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
    wanted: str
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


class Waiting(NamedTuple):
    """The session that waits longest for a lock of another one, and how many others wait for that one, too."""

    pid: int
    application: str
    seconds: float
    others: int
    holder: int
    holder_application: str
    holder_state: str | None
    """None for another role's, of which it is not told."""


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


def log_parameters(conn: Connection) -> list[Setting]:
    """The settings that let parameters into the log: of statements that are logged, and of those that fail."""
    return conn.cursor(row_factory=class_row(Setting)).execute(LOG_PARAMETERS).fetchall()


def log_statements(conn: Connection) -> list[str]:
    """Why statements are logged: `log_statement is mod`."""
    return [words for (words,) in conn.execute(LOG_STATEMENTS).fetchall()]


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


def waiting(conn: Connection, seconds: float) -> list[Waiting]:
    """Who has been waiting for a lock for longer, and for whom: one for each that holds others up."""
    return conn.cursor(row_factory=class_row(Waiting)).execute(WAITING, [seconds]).fetchall()


def for_a_standby(conn: Connection, seconds: float) -> int:
    """How many sessions have been waiting for longer until a standby has what they committed."""
    [[count]] = conn.execute(FOR_A_STANDBY, [seconds]).fetchall()
    return int(count)


def prepared(conn: Connection) -> list[Prepared]:
    return conn.cursor(row_factory=class_row(Prepared)).execute(PREPARED).fetchall()
