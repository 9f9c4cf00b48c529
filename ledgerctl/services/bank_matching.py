"""Match lines with entries by hand, and take matches apart."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext

from ledgerctl import errors
from ledgerctl.core import money
from ledgerctl.core.matching import Match, Rule
from ledgerctl.db import audit, bank_matches, reconciliations
from ledgerctl.db.bank_statements import Account
from ledgerctl.db.connection import Connection
from ledgerctl.services.bank_reconciling import require_account
from ledgerctl.services.books import Books


def match(books: Books, code: str, lines: Sequence[int], entries: Sequence[int], reason: str | None) -> int:
    """Say that open lines (by id) and open entries (by seq) of an account go together; the id of the match.

    Their sums must be the same, unless there is a reason why not. NotOpen, UnevenMatch, AlreadyRunning.
    """
    with localcontext(money.EXACT):
        return books.database.transact_in_snapshot(_match, books, code, tuple(lines), tuple(entries), reason)


def _match(
    conn: Connection, books: Books, code: str, lines: tuple[int, ...], entries: tuple[int, ...], reason: str | None
) -> int:
    account = require_account(conn, books, code)
    reconciliations.begin(conn, reconciliations.of_account(account.id), f"account '{code}'")
    open_lines = {line.id: line.amount for line in bank_matches.open_lines(conn, books.ledger, account.id)}
    open_entries = {entry.seq: entry.amount for entry in bank_matches.open_entries(conn, books.ledger, account.id)}
    for noun, asked, there in (("line", lines, open_lines), ("entry", entries, open_entries)):
        for id_ in asked:
            if id_ not in there:
                raise errors.NotOpen(noun=noun, id=id_, account=code)
    if reason is None:
        _require_even(account, [open_lines[id_] for id_ in lines], [open_entries[seq] for seq in entries])
    made = Match(Rule.BY_HAND, lines, entries)
    [match_id] = bank_matches.insert(conn, books.ledger, account.id, [made], books.actor, reason=reason)
    detail = {"account": code, "lines": list(lines), "entries": list(entries), "reason": reason}
    audit.log(conn, books.ledger, books.actor, books.request_id, [audit.Line("match", str(match_id), "done", detail)])
    return match_id


def _require_even(account: Account, lines: Sequence[Decimal], entries: Sequence[Decimal]) -> None:
    theirs, ours = sum(lines, Decimal(0)), sum(entries, Decimal(0))
    if theirs != ours:
        raise errors.UnevenMatch(
            lines=money.fixed(theirs, account.exponent),
            entries=money.fixed(ours, account.exponent),
            currency=account.currency,
        )


def unmatch(books: Books, match_id: int) -> tuple[str, Match]:
    """Take a match apart: its lines and entries are open again, and no rule brings the same together again.

    The account's code and what was in the match. MatchNotFound, AlreadyRunning.
    """
    return books.database.transact_in_snapshot(_unmatch, books, match_id)


def _unmatch(conn: Connection, books: Books, match_id: int) -> tuple[str, Match]:
    made = bank_matches.find(conn, books.ledger, match_id)
    if made is None or made.undone_at is not None:
        raise errors.MatchNotFound(match_id=match_id)
    reconciliations.begin(conn, reconciliations.of_account(made.account_id), f"account '{made.account}'")
    parts = bank_matches.undo(conn, books.ledger, match_id)
    detail = {"account": made.account, "rule": made.rule, "lines": list(parts.lines), "entries": list(parts.entries)}
    audit.log(conn, books.ledger, books.actor, books.request_id, [audit.Line("unmatch", str(match_id), "done", detail)])
    return made.account, parts
