"""What became of the rows of an import: counted, summed by currency, and the rejected ones kept to be shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, cast

from ledgerctl import errors
from ledgerctl.core import money
from ledgerctl.core.decision import Reason
from ledgerctl.core.model import Account, Outcome, Posted, Refused
from ledgerctl.core.rows import Chunk, Rejected
from ledgerctl.core.volume import Sums, texts
from ledgerctl.db import audit
from ledgerctl.db.imports import Counts

SHOWN_MAX = 100
"""So many rejected rows are kept to be shown; all are counted."""

_FIELDS: dict[Reason, str | None] = {
    Reason.REJECTED_BEFORE: None,
    Reason.DUPLICATE_KEY: "idempotency_key",
    Reason.IDEMPOTENCY_CONFLICT: "idempotency_key",
    Reason.CURRENCY_MISMATCH: "currency",
    Reason.TOO_MANY_DECIMALS: "amount",
    Reason.AMOUNT_TOO_LARGE: "amount",
}


class Bad(NamedTuple):
    """A rejected row as it stands in the file, and on which line."""

    rejected: Rejected
    line: int
    cells: Sequence[str]


@dataclass(slots=True)
class Tally:
    """What became of the rows so far."""

    rows: int = 0
    posted: int = 0
    replayed: int = 0
    rejected: int = 0
    totals: Sums = field(default_factory=Counter)
    """Of what was posted now and what had been posted before."""
    moved: Sums = field(default_factory=Counter)
    """Of what was posted now."""
    rejects: list[Rejected] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    """Of all that were rejected, by code."""
    shown_max: int = SHOWN_MAX

    def count(self, chunk: Chunk, outcomes: Sequence[Outcome], accounts: Mapping[str, Account]) -> list[Bad]:
        """Count a chunk whose requests had these outcomes, and give back the rows that were rejected."""
        if len(outcomes) == len(chunk.rows) and set(map(type, outcomes)) == {Posted}:
            self._count_posted(cast(Sequence[Posted], outcomes))
            return []
        bad: list[Bad] = []
        decided = iter(outcomes)
        for place, row in enumerate(chunk.rows):
            if isinstance(row, Rejected):
                bad.append(Bad(row, chunk.lines[place], chunk.cells[place]))
                continue
            outcome = next(decided)
            if isinstance(outcome, Posted):
                self.posted += 1
                account, _, units, _ = outcome.entries[1]
                self.moved[account.currency, account.exponent] += units
            elif isinstance(outcome, Refused):
                bad.append(Bad(_rejected(outcome), chunk.lines[place], chunk.cells[place]))
                continue
            else:
                self.replayed += 1
                account = accounts[row.legs[1].account]
                units = money.minor(row.legs[1].amount, account.exponent)
            self.totals[account.currency, account.exponent] += units
        self.rows += len(chunk.rows)
        self._reject(bad)
        return bad

    def _count_posted(self, outcomes: Sequence[Posted]) -> None:
        """Like `count`, for the usual chunk."""
        sums: dict[str, int] = {}
        exponents: dict[str, int] = {}
        for _, _, entries in outcomes:
            account, _, units, _ = entries[1]
            currency = account.currency
            if currency in sums:
                sums[currency] += units
            else:
                sums[currency], exponents[currency] = units, account.exponent
        for currency, units in sums.items():
            place = currency, exponents[currency]
            self.totals[place] += units
            self.moved[place] += units
        self.rows += len(outcomes)
        self.posted += len(outcomes)

    def copy(self) -> Tally:
        """For an attempt that may come to nothing."""
        return replace(
            self,
            totals=self.totals.copy(),
            moved=self.moved.copy(),
            rejects=list(self.rejects),
            reasons=self.reasons.copy(),
        )

    def stopped_by(self, bad: Sequence[Bad]) -> Tally:
        """This tally and the rows that ended the import; the others of their piece were not posted."""
        tally = self.copy()
        tally._reject(bad)
        return tally

    def _reject(self, bad: Sequence[Bad]) -> None:
        self.rejected += len(bad)
        self.rejects += [one.rejected for one in bad[: self.shown_max - len(self.rejects)]]
        self.reasons.update(one.rejected.code for one in bad)

    def counts(self) -> Counts:
        return Counts(self.rows, self.rows, self.posted, self.replayed, self.rejected, texts(self.totals))

    def activity(self, before: Tally | None = None) -> dict[str, Any]:
        """What was posted now, or since an earlier tally, as the audit log has it; empty when nothing was."""
        posted, moved = self.posted, self.moved.copy()
        if before is not None:
            posted -= before.posted
            moved.subtract(before.moved)
        return audit.activity(posted, 2 * posted, texts(+moved)) if posted else {}


def _rejected(refused: Refused) -> Rejected:
    error = errors.by_code(refused.reason)(**refused.details)
    request = refused.request
    return Rejected(request.import_row or 0, _field(refused), error.code, str(error), error.advice, request.key)


def _field(refused: Refused) -> str | None:
    """The field of the row that the refusal is about."""
    side = "to" if refused.details.get("account") == refused.request.legs[1].account else "from"
    return _FIELDS.get(Reason(refused.reason), side)
