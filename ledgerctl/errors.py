"""Every error the program can give: its code, its words, its hint and its exit code.

The codes are an interface: scripts read them from `-o json`, and the REST API gives them as problem types.
The exit numbers stand in `Exit` and nowhere else.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import Any, ClassVar


class Exit(IntEnum):
    """What the process returns; see `ledgerctl help exit-codes`."""

    DONE = 0
    BUG = 1
    USAGE = 2
    REFUSED = 3
    NOT_FOUND = 4
    CONFLICT = 5
    DIFFERENCES = 6
    UNAVAILABLE = 69
    TRY_AGAIN = 75
    OUTCOME_UNKNOWN = 76
    NO_PERMISSION = 77
    BAD_CONFIG = 78
    INTERRUPTED = 130
    READER_GONE = 141
    TERMINATED = 143


class LedgerError(Exception):
    """Something the operator has to know about; `details` fill the message and go into the JSON error."""

    code: ClassVar[str] = "BUG"
    exit_code: ClassVar[Exit] = Exit.BUG
    message: ClassVar[str] = "{detail}"
    hint: ClassVar[str] = ""

    def __init__(self, **details: Any) -> None:
        self.details = details
        super().__init__(self.message.format(**details))

    @property
    def advice(self) -> str:
        """The hint with the details filled in; one given in the details wins over the class's own."""
        return str(self.details.get("hint", "")) or self.hint.format(**self.details)

    def as_json(self) -> dict[str, Any]:
        """`{"error": {...}}`, the shape the CLI prints and the API sends."""
        details = {name: value for name, value in self.details.items() if name != "hint"}
        return {
            "error": {
                "code": self.code,
                "message": str(self),
                "hint": self.advice,
                "details": details,
                "exit_code": int(self.exit_code),
            }
        }


# -- the command line and what it names ------------------------------------------------------------------------------


class BadUsage(LedgerError):
    code = "USAGE"
    exit_code = Exit.USAGE
    hint = "add --help to the command to see what it takes"


class BadAmount(LedgerError):
    code = "BAD_AMOUNT"
    exit_code = Exit.USAGE
    message = "'{text}' is not an amount: {problem}"
    hint = "write digits with a '.' before the decimals, for example 1234.50"


class BadTime(LedgerError):
    code = "BAD_TIME"
    exit_code = Exit.USAGE
    message = "'{text}' is not a time: {problem}"
    hint = "write a date such as 2026-01-31 or a time such as 2026-01-31T12:00:00Z"


class BadCode(LedgerError):
    code = "BAD_ACCOUNT_CODE"
    exit_code = Exit.USAGE
    message = "'{text}' is not an account code"
    hint = "use 1 to 128 of the letters A-Z a-z, digits and : _ . -"


class BadText(LedgerError):
    code = "BAD_TEXT"
    exit_code = Exit.USAGE
    message = "{field}: {problem}"


class UnknownCurrency(LedgerError):
    code = "UNKNOWN_CURRENCY"
    exit_code = Exit.USAGE
    message = "the ledger has no currency '{currency}'"
    hint = "ledgerctl currency list shows them; ledgerctl currency add CODE --exponent N adds one"


class Declined(LedgerError):
    code = "DECLINED"
    exit_code = Exit.USAGE
    message = "not done: {detail}"
    hint = "answer y, or give --yes"


# -- files that come in ----------------------------------------------------------------------------------------------


class BadFile(LedgerError):
    """A file that cannot be read at all; one bad row in a good file is a `RowsRejected`."""

    code = "BAD_FILE"
    exit_code = Exit.USAGE
    message = "cannot read '{file}': {problem}"
    hint = "nothing was changed; mend the file and run the command again"


class BadStatement(LedgerError):
    """A bank statement that breaks its format's rules, at `place`: half a statement would be worse than none."""

    code = "BAD_STATEMENT"
    exit_code = Exit.REFUSED
    message = "'{file}', {place}: {problem}; nothing was stored"
    hint = "get the file from the bank once more, and see whether its format, and the map of a CSV, are the right ones"


class FileChanged(LedgerError):
    """`posted` says what was posted of the file as it had been before."""

    code = "FILE_CHANGED"
    exit_code = Exit.USAGE
    message = "'{file}' changed while it was read; {posted}"
    hint = "wait until whatever writes the file is done, and run the command again"


class RowsRejected(LedgerError):
    """Bad or refused rows; `rows` holds the first of them as {row, code, message}."""

    code = "ROWS_REJECTED"
    exit_code = Exit.REFUSED
    message = "{rejected} of {total} rows of '{file}' cannot be posted; {consequence}"
    hint = "mend the rows named above and run the same command again"


class WrongBankAccount(LedgerError):
    code = "WRONG_BANK_ACCOUNT"
    exit_code = Exit.REFUSED
    message = "'{file}' has no statement for account '{account}': {problem}; nothing was stored"
    hint = "--bank-account NAME says which of the bank's accounts it is"


# -- refusals: the ledger's rules said no ----------------------------------------------------------------------------


class ControlTotals(LedgerError):
    code = "CONTROL_TOTALS"
    exit_code = Exit.REFUSED
    message = "{file} is not what was expected: {found}; {consequence}"
    hint = "ask whoever sent the file, or mend --expect-rows and --expect-total"


class AlreadyPosted(LedgerError):
    """Its rows have other keys than those they were posted under, so posting them would double them."""

    code = "ALREADY_POSTED"
    exit_code = Exit.CONFLICT
    message = "about {percent} % of the new rows of '{file}' were posted by import {import_id}; {consequence}"
    hint = "import only what is missing, such as that import's rejects file, or give --again to post it all once more"


class Refusal(LedgerError):
    exit_code = Exit.REFUSED


class TooFewLegs(Refusal):
    code = "TOO_FEW_LEGS"
    exit_code = Exit.USAGE
    message = "a transaction needs at least one debit and one credit"


class SameAccount(Refusal):
    code = "SAME_ACCOUNT"
    message = "'{account}' would be debited and credited in the same transaction"
    hint = "name two different accounts"


class IdempotencyConflict(Refusal):
    code = "IDEMPOTENCY_CONFLICT"
    exit_code = Exit.CONFLICT
    message = "the key '{key}' was used for another request (different: {fields})"
    hint = "ledgerctl transaction show {transaction_id}"


class ReversalOfReversal(Refusal):
    code = "REVERSAL_OF_REVERSAL"
    message = "transaction {transaction_id} is itself a reversal and cannot be reversed"
    hint = "post a new transfer that says what it corrects"


class AlreadyReversed(Refusal):
    code = "ALREADY_REVERSED"
    exit_code = Exit.CONFLICT
    message = "transaction {transaction_id} was already reversed by {reversed_by}"
    hint = "ledgerctl transaction show {reversed_by}"


class ReversedInPart(Refusal):
    """What stands in the way of reversing it as a row of an import."""

    code = "REVERSED_IN_PART"
    exit_code = Exit.CONFLICT
    message = "transaction {transaction_id} was reversed in part by {reversed_by}"
    hint = "ledgerctl transaction show {reversed_by}"


class PartialNotPossible(Refusal):
    code = "PARTIAL_REVERSAL"
    message = "transaction {transaction_id} cannot be reversed by {amount}: {problem}"
    hint = "ledgerctl transaction show {transaction_id}"


class AccountNotFound(Refusal):
    code = "ACCOUNT_NOT_FOUND"
    exit_code = Exit.NOT_FOUND
    message = "there is no account '{account}'"
    hint = "ledgerctl account list shows the accounts; ledgerctl account create makes one"


class CurrencyMismatch(Refusal):
    code = "CURRENCY_MISMATCH"
    message = "account '{account}' is kept in {expected}, not in {currency}"
    hint = "ledgerctl account show {account}"


class TooManyDecimals(Refusal):
    code = "TOO_MANY_DECIMALS"
    exit_code = Exit.USAGE
    message = "{amount} has more decimals than {currency} allows ({exponent})"
    hint = "the amount is never rounded: give it with at most {exponent} decimals"


class AccountClosed(Refusal):
    code = "ACCOUNT_CLOSED"
    message = "account '{account}' is closed"
    hint = "ledgerctl account show {account}"


class AccountFrozen(Refusal):
    code = "ACCOUNT_FROZEN"
    message = "account '{account}' is frozen"
    hint = "ledgerctl account unfreeze {account}"


class Unbalanced(Refusal):
    code = "UNBALANCED"
    exit_code = Exit.USAGE
    message = "debits and credits differ by {difference} {currency}"
    hint = "the debits of each currency must equal its credits"


class InsufficientFunds(Refusal):
    code = "INSUFFICIENT_FUNDS"
    message = "insufficient funds in '{account}' (available {available} {currency}, needed {needed} {currency})"
    hint = "ledgerctl account show {account}"


class BalanceLimit(Refusal):
    code = "BALANCE_LIMIT"
    message = "'{account}' would exceed its max_balance of {limit} {currency} (it would hold {balance} {currency})"
    hint = "ledgerctl account show {account}"


class AmountTooLarge(Refusal):
    code = "AMOUNT_TOO_LARGE"
    message = "'{account}' would hold more than the ledger can count ({limit})"


class DuplicateKey(Refusal):
    code = "DUPLICATE_KEY"
    message = "the key '{key}' stands more than once"
    hint = "give each transfer a key of its own"


# -- things that are not there, or there already ---------------------------------------------------------------------


class RejectedBefore(Refusal):
    """Nothing else stands against the row any more."""

    code = "REJECTED_BEFORE"
    message = "import {import_id} of the same file left it out; it could be posted by now"
    hint = "import this row of the rejects file, or give --again to post it with the whole file"


class TransactionNotFound(LedgerError):
    code = "TRANSACTION_NOT_FOUND"
    exit_code = Exit.NOT_FOUND
    message = "there is no transaction with the id or key '{reference}'"
    hint = "ledgerctl history CODE lists an account's transactions"


class ImportNotFound(LedgerError):
    code = "IMPORT_NOT_FOUND"
    exit_code = Exit.NOT_FOUND
    message = "there is no import '{import_id}'"
    hint = "ledgerctl imports list shows them"


class ImportNotReversible(LedgerError):
    code = "IMPORT_NOT_REVERSIBLE"
    exit_code = Exit.REFUSED
    message = "{stuck} of the {total} transactions of import {import_id} cannot be reversed; nothing was changed"
    hint = (
        "clear what stands in the way of the rows named above and run the same command again; --skip-partial leaves "
        "rows alone that were reversed in part"
    )


class LedgerNotFound(LedgerError):
    code = "LEDGER_NOT_FOUND"
    exit_code = Exit.NOT_FOUND
    message = "there is no ledger '{ledger}' in this database"
    hint = "ledgerctl ledger list shows them; ledgerctl ledger create {ledger} makes it"


class AccountExists(LedgerError):
    code = "ACCOUNT_EXISTS"
    exit_code = Exit.CONFLICT
    message = "account '{account}' exists with other attributes (different: {fields})"
    hint = "ledgerctl account show {account}"


class CurrencyExists(LedgerError):
    code = "CURRENCY_EXISTS"
    exit_code = Exit.CONFLICT
    message = "currency '{currency}' exists with {exponent} decimals"


class AccountNotEmpty(LedgerError):
    code = "ACCOUNT_NOT_EMPTY"
    exit_code = Exit.REFUSED
    message = "account '{account}' holds {balance} {currency} and can be closed only at zero"
    hint = "transfer the balance to another account first"


# -- reconciliation --------------------------------------------------------------------------------------------------


class DifferencesFound(LedgerError):
    code = "DIFFERENCES"
    exit_code = Exit.DIFFERENCES
    message = "{what} (findings: {findings})"
    hint = "stop posting to the accounts named, and find out who changed the tables"


class AlreadyRunning(LedgerError):
    """`holder` is who runs, as in Busy, or None where that is not known."""

    code = "ALREADY_RUNNING"
    exit_code = Exit.TRY_AGAIN
    message = "{what} is being reconciled already, by {who}"
    hint = "wait for it to end, or give --skip-if-locked where that is no failure"


class NeverReconciled(LedgerError):
    code = "NEVER_RECONCILED"
    exit_code = Exit.NOT_FOUND
    message = "account '{account}' was never reconciled with a bank"
    hint = "ledgerctl reconcile --account {account} --statement FILE"


class NotOpen(LedgerError):
    code = "NOT_OPEN"
    exit_code = Exit.NOT_FOUND
    message = "{noun} {id} of account '{account}' is not open"
    hint = "ledgerctl reconcile open --account {account}"


class UnevenMatch(LedgerError):
    code = "UNEVEN_MATCH"
    exit_code = Exit.REFUSED
    message = "the lines come to {lines} {currency} and the entries to {entries} {currency}; nothing was matched"
    hint = "post what is missing and match it, too, or give --reason"


class RunNotFound(LedgerError):
    code = "RUN_NOT_FOUND"
    exit_code = Exit.NOT_FOUND
    message = "there is no run '{run_id}'"
    hint = "ledgerctl reconcile list shows them"


class MatchNotFound(LedgerError):
    code = "MATCH_NOT_FOUND"
    exit_code = Exit.NOT_FOUND
    message = "there is no match {match_id}, or it was taken apart before"
    hint = "ledgerctl reconcile show RUN --matches lists the matches of a run"


class DeadlinePassed(LedgerError):
    code = "DEADLINE_PASSED"
    exit_code = Exit.UNAVAILABLE
    message = "not done within {seconds} s: nothing was checked to its end, and nothing has changed"
    hint = "give it longer with --deadline, or find out what holds it up: ledgerctl doctor"


class Unhealthy(LedgerError):
    """What `doctor` found; each finding stands in its answer with its remedy."""

    code = "UNHEALTHY"
    exit_code = Exit.DIFFERENCES
    message = "not all is well (problems: {problems}, warnings: {warnings})"
    hint = "each line that is not ok says what mends it"


# -- the database and the surroundings -------------------------------------------------------------------------------


class DatabaseUnavailable(LedgerError):
    code = "DATABASE_UNAVAILABLE"
    exit_code = Exit.UNAVAILABLE
    message = "the database cannot be reached: {detail}"
    hint = "ledgerctl db status"


class CannotListen(LedgerError):
    code = "CANNOT_LISTEN"
    exit_code = Exit.UNAVAILABLE
    message = "cannot listen on {host} port {port}: {reason}"
    hint = "--listen HOST:PORT names another; is it running already?"


class Busy(LedgerError):
    """Retries are spent: locks, deadlocks or lost races. Nothing was posted.

    `holder` is who held the lock last: {account, pid, application, state, seconds}, or None where that is not known.
    """

    code = "TRY_AGAIN"
    exit_code = Exit.TRY_AGAIN
    message = "gave up after {waited_s} s and {attempts} attempts, none of which changed anything: {detail}"
    hint = "run the same command again with the same key"


class OutcomeUnknown(LedgerError):
    """COMMIT was sent and no answer came, and the question could not be settled before the deadline."""

    code = "OUTCOME_UNKNOWN"
    exit_code = Exit.OUTCOME_UNKNOWN
    message = "the database went away during the commit; it is not known whether the change was made: {detail}"
    hint = "run the same command again with the same key: it is posted once, whatever happened"


class Unsettled(LedgerError):
    code = "UNSETTLED"
    exit_code = Exit.OUTCOME_UNKNOWN
    message = "{left} of {total} requests are left"
    hint = "--post posts what was not posted, --drop forgets it; elsewhere needs the configuration of that place"


class PermissionDenied(LedgerError):
    code = "PERMISSION_DENIED"
    exit_code = Exit.NO_PERMISSION
    message = "permission denied: {detail}"


class DatabaseRefused(LedgerError):
    """The database gave an error that no rule of ours expects: a constraint fired, or the schema was altered."""

    code = "DATABASE_REFUSED"
    exit_code = Exit.BUG
    message = "the database refused the change, nothing was changed: {detail}"
    hint = "run ledgerctl reconcile, and report this as a bug"


class NotDurable(LedgerError):
    """The server may forget what it has committed."""

    code = "NOT_DURABLE"
    exit_code = Exit.BAD_CONFIG
    message = "the server runs with {off} off: a crash may lose what it has committed"
    hint = "ledgerctl doctor says how to switch it on (one to be thrown away is marked by ledgerctl.ephemeral = on)"


class NotConfigured(LedgerError):
    code = "NOT_CONFIGURED"
    exit_code = Exit.BAD_CONFIG
    message = "no ledger is configured here"
    hint = "run ledgerctl init to create one, or name a configuration with --config FILE"


class BadConfig(LedgerError):
    code = "BAD_CONFIG"
    exit_code = Exit.BAD_CONFIG
    message = "the configuration is not right: {detail}"
    hint = "ledgerctl config show --origin"


class WrongSchema(LedgerError):
    code = "WRONG_SCHEMA"
    exit_code = Exit.BAD_CONFIG
    message = "the database has schema {found}, this program needs {needed}"
    hint = "ledgerctl db upgrade"


class EmbeddedFailed(LedgerError):
    """The embedded server could not be created or started; `detail` carries the server's own last words."""

    code = "EMBEDDED_FAILED"
    exit_code = Exit.UNAVAILABLE
    message = "the embedded PostgreSQL in '{directory}' {detail}"


def _subclasses(kind: type[LedgerError]) -> list[type[LedgerError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in _subclasses(child))]


@cache
def codes() -> frozenset[str]:
    """All of them: a closed set."""
    return frozenset(kind.code for kind in _subclasses(LedgerError))


def by_code(code: str) -> type[LedgerError]:
    """The error class of a code, for refusals that were values until somebody asked for one thing."""
    return next(kind for kind in _subclasses(LedgerError) if kind.code == code)
