"""Every metric there is, declared once: its name, help, unit, and labels, whose values come from closed sets.

Names follow the conventions of Prometheus: base units, `_total` for what only grows. No label holds an account, a key,
a person or the words of an error, so the number of series is bounded by ledgers, currencies and the lists of this
program.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple


class Metric(NamedTuple):
    """`unit` is the end of the name, before `_total`; empty for a number of things."""

    name: str
    help: str
    unit: str = ""
    labels: tuple[str, ...] = ()
    kind: Literal["gauge", "counter", "info"] = "gauge"


Samples = Mapping[tuple[Metric, tuple[str, ...]], float]
"""Values by metric and the values of its labels."""

# -- what a run of a command leaves behind: whose it is, the job and the ledger say ----------------------------------

LAST_RUN = Metric("ledgerctl_job_last_run_timestamp_seconds", "When the job last ended, however it did.", "seconds")
LAST_SUCCESS = Metric("ledgerctl_job_last_success_timestamp_seconds", "When the job last ended well.", "seconds")
DURATION = Metric("ledgerctl_job_duration_seconds", "How long the last run of the job took.", "seconds")
EXIT_CODE = Metric("ledgerctl_job_last_exit_code", "The exit code of the last run of the job.")
OUTCOMES = Metric("ledgerctl_job_outcomes", "What became of the requests of the last run.", labels=("outcome",))
RETRIES = Metric("ledgerctl_job_retries", "Transactions that the last run had to begin again.")
LOCK_WAIT = Metric(
    "ledgerctl_job_lock_wait_seconds", "How long the last run waited for accounts that others had locked.", "seconds"
)
CACHE_REQUESTS = Metric(
    "ledgerctl_job_cache_requests", "What came of that which the last run asked of Redis.", labels=("use", "result")
)
FINDINGS = Metric("ledgerctl_reconcile_findings", "What the last reconciliation that came to an end found wrong.")
OPEN_ITEMS = Metric("ledgerctl_reconcile_open_items", "Items that the last reconciliation left without a match.")
OLDEST_OPEN_ITEM = Metric(
    "ledgerctl_reconcile_oldest_open_item_age_seconds", "The age of the oldest of the open items, then.", "seconds"
)
OLDEST_STATEMENT = Metric(
    "ledgerctl_reconcile_oldest_statement_timestamp_seconds",
    "The last day that the bank has told of, for the account where that is longest ago.",
    "seconds",
)
OF_RUNS = (
    LAST_RUN,
    LAST_SUCCESS,
    DURATION,
    EXIT_CODE,
    OUTCOMES,
    RETRIES,
    LOCK_WAIT,
    CACHE_REQUESTS,
    FINDINGS,
    OPEN_ITEMS,
    OLDEST_OPEN_ITEM,
    OLDEST_STATEMENT,
)

# -- what the metrics server reads from the books ---------------------------------------------------------------------

TRANSACTIONS = Metric(
    "ledgerctl_transactions_total",
    "Transactions that were posted or refused, since this server began to count.",
    labels=("ledger", "kind", "outcome"),
    kind="counter",
)
ENTRIES = Metric(
    "ledgerctl_entries_total",
    "Entries that were posted, since this server began to count.",
    labels=("ledger", "kind"),
    kind="counter",
)
VOLUME = Metric(
    "ledgerctl_volume_total",
    "What was debited, in units of the currency, since this server began to count.",
    labels=("ledger", "currency"),
    kind="counter",
)
REFUSALS = Metric(
    "ledgerctl_refusals_total",
    "Requests that were refused, by the code of the error, since this server began to count.",
    labels=("ledger", "reason"),
    kind="counter",
)
ACCOUNTS = Metric("ledgerctl_accounts", "Accounts by status.", labels=("ledger", "status"))
IMPORTS_OPEN = Metric(
    "ledgerctl_imports_open", "Imports that have begun and not ended: at work, or cut short.", labels=("ledger",)
)
BOOKS_VERIFIED = Metric(
    "ledgerctl_books_verified_timestamp_seconds",
    "When the books were last reconciled with themselves without a finding.",
    "seconds",
    ("ledger",),
)
BOOKS_FINDINGS = Metric(
    "ledgerctl_books_findings", "What the last reconciliation of the books with themselves found.", labels=("ledger",)
)
DATABASE_SIZE = Metric("ledgerctl_database_size_bytes", "What the database takes on its server's disk.", "bytes")
LOCK_WAITERS = Metric("ledgerctl_lock_waiting_sessions", "Sessions of the database that wait for a lock now.")
LONGEST_LOCK_WAIT = Metric(
    "ledgerctl_lock_longest_wait_seconds", "How long the one that waits longest has been waiting.", "seconds"
)
IN_DOUBT = Metric(
    "ledgerctl_requests_in_doubt", "Requests of this machine and user that were cut short: ledgerctl resolve."
)
DATABASE_UP = Metric("ledgerctl_database_up", "1 if the books could be read for this scrape, else 0.")
REDIS_UP = Metric("ledgerctl_redis_up", "1 if Redis answered for this scrape, else 0; only where one is configured.")
REDIS_RESTING = Metric("ledgerctl_redis_resting", "1 while Redis is left alone: it failed several times in a row.")
BALANCE_CACHE = Metric(
    "ledgerctl_balance_cache",
    "1 for the state that the balances in Redis are in, 0 for the others.",
    labels=("ledger", "state"),
)
READ_DURATION = Metric("ledgerctl_read_duration_seconds", "How long reading the books took, the last time.", "seconds")
BUILD = Metric("ledgerctl_build", "Which program this is.", labels=("version", "schema"), kind="info")
OF_BOOKS = (
    TRANSACTIONS,
    ENTRIES,
    VOLUME,
    REFUSALS,
    ACCOUNTS,
    IMPORTS_OPEN,
    BOOKS_VERIFIED,
    BOOKS_FINDINGS,
    DATABASE_SIZE,
    LOCK_WAITERS,
    LONGEST_LOCK_WAIT,
    IN_DOUBT,
    DATABASE_UP,
    REDIS_UP,
    REDIS_RESTING,
    BALANCE_CACHE,
    READ_DURATION,
    BUILD,
)

# -- what the API has answered ----------------------------------------------------------------------------------------

HTTP_REQUESTS = Metric(
    "ledgerctl_http_requests_total",
    "Requests that the API has answered, by the route's template.",
    labels=("route", "method", "status"),
    kind="counter",
)
HTTP_SECONDS = Metric(
    "ledgerctl_http_request_seconds_total", "How long they took, all together.", "seconds", ("route",), "counter"
)
HTTP_CACHE = Metric(
    "ledgerctl_http_cache_requests_total",
    "What came of that which the API asked of Redis.",
    labels=("use", "result"),
    kind="counter",
)
OF_API = (HTTP_REQUESTS, HTTP_SECONDS, HTTP_CACHE)

DECLARED = (*OF_RUNS, *OF_BOOKS, *OF_API)
