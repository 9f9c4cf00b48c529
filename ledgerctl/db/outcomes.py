"""What an error of the driver means: was anything changed, is it worth another attempt, what is the operator told?"""

from __future__ import annotations

from typing import NamedTuple

import psycopg
from psycopg import errors as pg

from ledgerctl import errors
from ledgerctl.db import constraints
from ledgerctl.db.locks import Holder

_LOST_RACES = frozenset(
    {
        constraints.IDEMPOTENCY_KEY,
        constraints.REVERSED_ONCE,
        constraints.ACCOUNT_CODE,
        constraints.LEDGER_NAME,
        constraints.CURRENCY_CODE,
        constraints.BANK_ACCOUNT,
        constraints.STATEMENT_ONCE,
        constraints.LINE_ONCE,
        constraints.ENTRY_ONCE,
    }
)
_POOLER = "set [database] prepare = false, or max_prepared_statements of a PgBouncer of 1.22 or newer"
_RETRIED = (pg.SerializationFailure, pg.DeadlockDetected)


def refused_by_server(error: psycopg.Error) -> bool:
    """The severity decides, not the SQLSTATE: after a FATAL or PANIC the commit record may be on disk."""
    return error.diag.severity_nonlocalized == "ERROR"


def may_retry(error: psycopg.Error, tries: int, tries_max: int) -> bool:
    if isinstance(error, pg.LockNotAvailable):
        return True
    passing = isinstance(error, (*_RETRIED, pg.InvalidSqlStatementName)) or _lost_race(error)
    passing = passing or not refused_by_server(error)
    return passing and tries < tries_max


def _lost_race(error: Exception) -> bool:
    """Somebody else took the key or the code a moment earlier; the next attempt sees theirs."""
    return isinstance(error, pg.UniqueViolation) and error.diag.constraint_name in _LOST_RACES


class Spent(NamedTuple):
    """What was tried in vain, for how many seconds, and who was in the way."""

    attempts: int = 1
    waited_s: float = 0
    holder: Holder | None = None


_ONE_TRY = Spent()


def translated(error: Exception, spent: Spent = _ONE_TRY) -> Exception:
    """What the operator has to know of a driver's error; errors of our own pass."""
    if not isinstance(error, psycopg.Error):
        return error
    if isinstance(error, (*_RETRIED, pg.LockNotAvailable, pg.QueryCanceled)) or _lost_race(error):
        return _busy(error, spent)
    if isinstance(error, pg.InsufficientPrivilege):
        return errors.PermissionDenied(detail=words(error))
    if isinstance(error, (pg.UndefinedTable, pg.UndefinedColumn, pg.UndefinedFunction)):
        return errors.WrongSchema(found="something else", needed="its own tables")
    if isinstance(error, (pg.DuplicatePreparedStatement, pg.InvalidSqlStatementName)):
        return errors.BadConfig(
            detail=f"{words(error)}: a pooler gives this program another session each time", hint=_POOLER
        )
    if isinstance(error, pg.ReadOnlySqlTransaction):  # a standby, or a server that was set to reading
        return errors.DatabaseUnavailable(detail=words(error))
    if isinstance(error, (psycopg.IntegrityError, psycopg.DataError, psycopg.ProgrammingError, psycopg.InternalError)):
        return errors.DatabaseRefused(detail=words(error))
    return errors.DatabaseUnavailable(detail=words(error))


def _busy(error: psycopg.Error, spent: Spent) -> errors.Busy:
    attempts, waited_s, holder = spent
    return errors.Busy(
        attempts=attempts,
        waited_s=round(waited_s, 1),
        detail=words(error) if holder is None else holder.words,
        holder=None if holder is None else holder.details,
    )


def words(error: Exception) -> str:
    """The server's own sentence on one line, without the context lines that name statements."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return error.diag.message_primary
    return " ".join(str(error).split()) or type(error).__name__
