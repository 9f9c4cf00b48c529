"""Is the server fit to keep money: reached safely, durable, in time, and held up by nobody?"""

from __future__ import annotations

import time
from typing import NamedTuple

from ledgerctl.config import Redis
from ledgerctl.db import server
from ledgerctl.db.connection import Connection
from ledgerctl.services.findings import Verdict, ok, problem, skipped, warning
from ledgerctl.services.setup import VERSION_MIN

OPEN_S = 60.0
"""A change takes a fraction of it; an import may take longer, and whoever waits for it wants to know."""
WAITED_S = 1.0
"""A queue for a hot account moves on every few milliseconds. Our own wait begins anew after a lock_timeout."""
SKEW_WARNING_S, SKEW_PROBLEM_S = 1.0, 60.0
OLDEST_WARNING, OLDEST_PROBLEM = 500_000_000, 1_500_000_000
"""Vacuum begins to freeze at 200 million, and at about 2.1 thousand million the server takes no more writes."""

_BY_SOURCE = {
    "global": "ALTER ROLE ALL RESET {name}",
    "client": "take {name} out of the options in database.url or PGOPTIONS",
    "command line": "take {name} out of the server's command line, and restart it",
    "user": "ALTER ROLE {role} SET {name} = {wanted}",
    "database": "ALTER DATABASE {database} SET {name} = {wanted}",
    "database user": "ALTER ROLE {role} IN DATABASE {database} SET {name} = {wanted}",
}


class About(NamedTuple):
    """What the checks have to know of the configuration, and of Redis."""

    ledger: str
    embedded: bool
    idle_s: float
    """So long our own transactions may stand idle."""
    redis: Redis
    run_id: str
    """Of the Redis that answered; empty where none did."""


def connection(conn: Connection, _about: About) -> list[Verdict]:
    link = server.link(conn)
    return [ok(f"database '{link.database}' as '{link.user}' at {link.host}:{link.port}")]


def encryption(conn: Connection, _about: About) -> list[Verdict]:
    link = server.link(conn)
    if not link.leaves_the_machine:
        return [ok("not needed: the connection stays on this machine")]
    remedy = "sslmode=verify-full in database.url, and sslrootcert=FILE with the certificate of your authority"
    if not link.encrypted:
        return [warning(f"what goes to {link.host} can be read and changed on its way", remedy)]
    if link.sslmode != "verify-full":
        return [warning(f"TLS, but with sslmode={link.sslmode} nobody proves to be {link.host}", remedy)]
    return [ok("TLS, sslmode=verify-full")]


def version(conn: Connection, _about: About) -> list[Verdict]:
    found = server.condition(conn)
    name = f"PostgreSQL {found.version // 10000}.{found.version % 10000}"
    if found.version < VERSION_MIN:
        return [problem(f"{name} is too old", f"upgrade the server to PostgreSQL {VERSION_MIN // 10000} or newer")]
    if found.standby:
        remedy = "name the primary in database.url; with several hosts add target_session_attrs=read-write"
        return [problem(f"{name}, a standby, which takes no writes", remedy)]
    if found.read_only:
        remedy = f"ask who wants that; ALTER DATABASE {found.database} SET default_transaction_read_only = off"
        return [warning(f"{name}, told to read only; ledgerctl writes to it all the same", remedy)]
    return [ok(name)]


def durability(conn: Connection, _about: About) -> list[Verdict]:
    found = server.condition(conn)
    settings = server.dangerous(conn)
    if not settings:
        return [ok("what was committed is on disk, and damage is noticed")]
    return [_danger(setting, found) for setting in settings]


def _danger(setting: server.Setting, found: server.Condition) -> Verdict:
    words = f"{setting.name} is {setting.setting}"
    if setting.name == "data_checksums":
        return warning(f"{words}: damage on the disk is not noticed", "stop the server, and pg_checksums --enable")
    if setting.setting == "off" and found.ephemeral:
        remedy = f"nothing, if it is to be thrown away; else move the books, or {_switched(setting, found)}"
        return warning(f"{words}, as in a database to be thrown away (ledgerctl.ephemeral is on)", remedy)
    if setting.setting == "local":
        return warning(f"{words}: when a standby takes over, it may lack what was committed", _switched(setting, found))
    if setting.name == "session_replication_role":
        return problem(f"{words}: foreign keys are not checked", _switched(setting, found))
    return problem(f"{words}: a crash or a bad disk may cost what was committed", _switched(setting, found))


def _switched(setting: server.Setting, found: server.Condition) -> str:
    """The statement that turns a setting round, where it was made."""
    effect = "restart the server" if setting.restart else "SELECT pg_reload_conf()"
    anywhere = "as a superuser, one after the other: ALTER SYSTEM SET {name} = {wanted}; " + effect
    return _BY_SOURCE.get(setting.source, anywhere).format(
        name=setting.name, wanted=setting.wanted, role=found.role, database=found.database
    )


def server_log(conn: Connection, _about: About) -> list[Verdict]:
    """A log is read by others than the books are, and kept elsewhere."""
    found, causes = server.condition(conn), ", ".join(server.log_statements(conn))
    told = []
    for setting in server.log_parameters(conn):
        why = f"{setting.name} is {setting.setting}"
        if setting.name.endswith("_on_error"):
            told.append(warning(f"{why}: what fails is logged with its names and amounts", _switched(setting, found)))
        elif causes:
            words = f"{causes}, {why}: what is posted is logged with its names and amounts"
            told.append(warning(words, _switched(setting, found)))
    return told or [ok("no parameters of statements come into it")]


def clock(conn: Connection, _about: About) -> list[Verdict]:
    before = time.time()
    there = server.clock(conn)
    after = time.time()
    # The server answered at some time in between: only what goes beyond that is surely wrong.
    skew_s = max(before - there, there - after, 0.0)
    words = f"the clocks of this machine and of the server differ by {skew_s:.1f} s"
    remedy = "set both by NTP: timedatectl set-ntp true"
    if skew_s > SKEW_PROBLEM_S:
        return [problem(words, remedy)]
    if skew_s > SKEW_WARNING_S:
        return [warning(words, remedy)]
    return [ok(f"within {SKEW_WARNING_S:.0f} s of the server's")]


def wraparound(conn: Connection, _about: About) -> list[Verdict]:
    oldest = server.condition(conn).oldest
    words = f"the oldest transaction not frozen is {oldest:,} transactions old"
    remedy = "end what holds vacuum up (see sessions), then VACUUM (FREEZE) as a superuser"
    if oldest > OLDEST_PROBLEM:
        return [problem(f"{words}; at 2.1 thousand million the server takes no more writes", remedy)]
    if oldest > OLDEST_WARNING:
        return [warning(words, remedy)]
    return [ok(words)]


def collation(conn: Connection, _about: About) -> list[Verdict]:
    found = server.condition(conn)
    if found.collation_now is None or found.collation_then in (None, found.collation_now):
        return [ok("texts are sorted as when the database was made")]
    words = f"texts were sorted by version {found.collation_then}, and now are by {found.collation_now}"
    statements = f"REINDEX DATABASE {found.database}; ALTER DATABASE {found.database} REFRESH COLLATION VERSION"
    return [warning(words, statements)]


def sessions(conn: Connection, about: About) -> list[Verdict]:
    """What may keep accounts locked for long."""
    stuck = [
        warning(_session(one), f"ask whoever runs it, or SELECT pg_terminate_backend({one.pid})")
        for one in server.sessions(conn, OPEN_S, min(about.idle_s, OPEN_S))
    ]
    stuck += [
        warning(
            f"the prepared transaction {one.gid} keeps its locks, for {one.seconds:.0f} s",
            f"COMMIT PREPARED {one.gid}, or ROLLBACK PREPARED {one.gid}",
        )
        for one in server.prepared(conn)
    ]
    if hidden := server.hidden(conn):
        role = server.condition(conn).role
        words = f"{hidden} of other roles are not shown to {role}"
        stuck.append(skipped(words, f"GRANT pg_read_all_stats TO {role}"))
    return stuck or [ok(f"no transaction has been open for {OPEN_S:.0f} s")]


def locks(conn: Connection, _about: About) -> list[Verdict]:
    """Who waits now, and for whom."""
    held = [
        warning(_wait(one), f"ask whoever runs process {one.holder}, or SELECT pg_terminate_backend({one.holder})")
        for one in server.waiting(conn, WAITED_S)
    ]
    if waiting := server.for_a_standby(conn, WAITED_S):
        held.append(
            warning(
                f"{waiting} wait until a standby has what they committed",
                "see that those of synchronous_standby_names run: SELECT * FROM pg_stat_replication",
            )
        )
    return held or [ok(f"nobody has been waiting for {WAITED_S:.0f} s")]


def _wait(one: server.Waiting) -> str:
    waiter = f"process {one.pid} ({one.application or 'unnamed'})" + (f" and {one.others} more" if one.others else "")
    state = "" if one.holder_state is None else f", {one.holder_state}"
    holder = f"process {one.holder} ({one.holder_application or 'unnamed'}){state}"
    return f"{waiter} wait for {holder}, for {one.seconds:.0f} s"


def _session(one: server.Session) -> str:
    holds = "may hold locks" if one.locks else "holds back vacuum"
    return f"process {one.pid} ({one.application or 'unnamed'}), {one.state}, for {one.seconds:.0f} s: {holds}"
