"""Epochs of what is kept in Redis: the name and the secret of its values, and whether they may be believed.

An epoch's id is drawn anew each time, so that values of another past - before a restore, an outage, a restart - have
other names. docs/caching.md tells why each step below is safe; ADR 5 what it rests on.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, NamedTuple
from uuid import UUID

from psycopg.rows import class_row

from ledgerctl.db.connection import Connection
from ledgerctl.db.pipeline import Executor

STATES = ("off", "arming", "waiting", "on", "closing")
"""Only `on` may be read by; who posts minds all of them but `off`."""
Purpose = Literal["balances", "outcomes"]

LIVE = "SELECT id, state, instance, secret FROM live_epochs WHERE ledger_id = %s AND purpose = %s"
# The secret is drawn by the server, so that it stands in no statement that might be logged.
ARM = """
    INSERT INTO cache_epochs AS e (ledger_id, purpose, id, state, instance, secret, file)
    VALUES (%s, 'balances', gen_random_uuid(), 'arming', %s,
            uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()), pg_relation_filepath('cache_epochs'))
    ON CONFLICT (ledger_id, purpose) DO UPDATE
    SET id = excluded.id, state = excluded.state, instance = excluded.instance, secret = excluded.secret,
        server_started_at = excluded.server_started_at, written_by = excluded.written_by, file = excluded.file,
        changed_at = excluded.changed_at, reason = NULL
    WHERE e.state = 'off' AND e.changed_at < clock_timestamp() - make_interval(secs => %s)
    RETURNING e.id
"""
# Its number is higher than that of any writer who has not seen that the epoch is armed.
WAIT = """
    UPDATE cache_epochs SET state = 'waiting', written_by = pg_current_xact_id()
    WHERE ledger_id = %s AND purpose = 'balances' AND id = %s AND state = 'arming'
"""
# All transactions before it have ended: every writer from now on knows of the epoch.
OPEN = """
    UPDATE cache_epochs SET state = 'on', written_by = pg_current_xact_id(), changed_at = clock_timestamp()
    WHERE ledger_id = %s AND purpose = 'balances' AND id = %s AND state = 'waiting'
          AND pg_snapshot_xmin(pg_current_snapshot()) > written_by
"""
CLOSE = """
    UPDATE cache_epochs
    SET state = 'closing', written_by = pg_current_xact_id(), changed_at = clock_timestamp(), reason = %s
    WHERE ledger_id = %s AND purpose = 'balances' AND id = %s AND state IN ('arming', 'waiting', 'on')
"""
END = """
    UPDATE cache_epochs
    SET state = 'off', written_by = pg_current_xact_id(), server_started_at = pg_postmaster_start_time()
    WHERE ledger_id = %(ledger)s AND purpose = 'balances' AND id = %(id)s AND state <> 'off'
          AND EXISTS (SELECT FROM live_epochs l
                      WHERE l.ledger_id = %(ledger)s AND l.purpose = 'balances' AND l.id = %(id)s
                            AND l.state = 'closing')
"""
RENEW = """
    INSERT INTO cache_epochs AS e (ledger_id, purpose, id, state, instance, secret, file)
    VALUES (%(ledger)s, 'outcomes', gen_random_uuid(), 'on', '',
            uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()), pg_relation_filepath('cache_epochs'))
    ON CONFLICT (ledger_id, purpose) DO UPDATE
    SET id = excluded.id, secret = excluded.secret, server_started_at = excluded.server_started_at,
        written_by = excluded.written_by, file = excluded.file, changed_at = excluded.changed_at
    WHERE NOT EXISTS (SELECT FROM live_epochs l
                      WHERE l.ledger_id = %(ledger)s AND l.purpose = 'outcomes' AND l.state = 'on')
"""
# One snapshot: what the account holds, and whether the transaction that marked it has ended.
BALANCE = """
    SELECT account AS code, type, currency, exponent, balance, seq,
           coalesce(pg_visible_in_snapshot(%(writer)s::text::xid8, pg_current_snapshot()), true) AS ended
    FROM account_balances
    WHERE ledger_id = %(ledger)s AND account = %(code)s
"""


class Epoch(NamedTuple):
    id: UUID
    state: str
    """One of STATES."""
    instance: str
    """The run_id of the one Redis process that its values are in."""
    secret: bytes
    """32 bytes of which 244 bits are random: its values are signed with it."""


class Writer(NamedTuple):
    """A transaction that posts: its number (xid8), and the epoch of balances that it must mind."""

    transaction: int
    epoch: Epoch | None


class Read(NamedTuple):
    """A balance on the account's normal side as the database has it."""

    code: str
    type: str
    currency: str
    exponent: int
    balance: Decimal
    seq: int
    ended: bool
    """Whether the transaction that was asked about was over in that snapshot."""


def live(conn: Executor, ledger: int, purpose: Purpose) -> Epoch | None:
    """The epoch as it is in force, or None when there has been none."""
    row = conn.execute(LIVE, [ledger, purpose]).fetchone()
    return None if row is None else Epoch(*row)


def balance(conn: Connection, ledger: int, code: str, writer: int | None) -> Read | None:
    """The account, if there is one; `writer` is the transaction that marked what Redis has of it."""
    asked = {"ledger": ledger, "code": code, "writer": None if writer is None else str(writer)}
    return conn.cursor(row_factory=class_row(Read)).execute(BALANCE, asked).fetchone()


def arm(conn: Executor, ledger: int, instance: str, rest_s: float) -> UUID | None:
    """Announce a new epoch of balances to all who post; None unless there has been none for so long."""
    row = conn.execute(ARM, [ledger, instance, rest_s]).fetchone()
    return None if row is None else row[0]


def wait(conn: Executor, ledger: int, epoch: UUID) -> None:
    """Let the number of this transaction tell who posts without knowing of the epoch. In one after `arm`'s."""
    conn.execute(WAIT, [ledger, epoch])


def open_(conn: Executor, ledger: int, epoch: UUID) -> None:
    """Let the epoch be read by, if nobody is left who posts without knowing of it."""
    conn.execute(OPEN, [ledger, epoch])


def close(conn: Executor, ledger: int, epoch: UUID, reason: str) -> None:
    """Permit nobody any longer to read by the epoch. Who was permitted may do so for a second."""
    conn.execute(CLOSE, [reason, ledger, epoch])


def end(conn: Executor, ledger: int, epoch: UUID) -> None:
    """Say that nobody reads by a closed epoch any more: those who post need not wait for it."""
    conn.execute(END, {"ledger": ledger, "id": epoch})


def outcomes(conn: Executor, ledger: int) -> Epoch | None:
    """The epoch of finished outcomes, begun anew where the last is of another past."""
    conn.execute(RENEW, {"ledger": ledger})
    return live(conn, ledger, "outcomes")
