"""What must hold after a run, whatever was done to it. Each checker yields a sentence for each violation.

They share no module with ledgerctl: the books are read by plain SQL, what clients were told from their histories.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from itertools import groupby
from typing import Any

from tests.faults.evidence import Attempt, Books, Entry, Histories, Named, Transaction, Windows
from tests.faults.history import Call
from tests.faults.world import BANKS, EXPONENTS, LEDGERS, OUTSIDE, TOTAL

_AMOUNT = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
_FORESEEN = ("DATABASE_UNAVAILABLE", "TRY_AGAIN", "NOT_SENT")
"""What a client may be told when nothing was changed, and no rule said no."""
_REVIVED_NS = 10 * 10**9
_BANK = {(place.ledger, place.code): place for bank in BANKS for place in bank}


@dataclass(frozen=True)
class Case:
    """All the evidence of a run. `total` is what each bank holds; `steady` says that no clock was moved."""

    books: Books
    told: Histories
    total: int = TOTAL
    steady: bool = True

    @cached_property
    def windows(self) -> Windows:
        return Windows(self.books, self.told)

    @cached_property
    def by_id(self) -> dict[Named, Attempt]:
        return {(attempt.ledger, attempt.id): attempt for attempt in self.told.attempts if attempt.id is not None}


def c1_reads_sum_to_total(case: Case) -> Iterator[str]:
    """Every snapshot that a client read sums to the bank's total."""
    for call in case.told.named("read"):
        if call.how != "ok":
            continue
        for bank in BANKS:
            if bank[0].ledger != call.asked["ledger"]:
                continue
            total = sum((Decimal(call.told["balances"][place.code][0]) for place in bank), Decimal(0))
            if total != case.total:
                yield f"{call.client} op {call.op} read {total} {bank[0].currency} in all, not {case.total}"


def c2_balances_are_entries(case: Case) -> Iterator[str]:
    """An account's balance is the sum of its entries, and each balance after an entry follows from the one before."""
    for name, account in case.books.accounts.items():
        balance = Decimal(0)
        for entry in case.books.by_account.get(name, ()):
            balance += entry.amount
            if balance != entry.balance:
                yield f"{name} seq {entry.seq}: {entry.balance} after it, its entries make {balance}"
                balance = entry.balance
        if balance != account.balance:
            yield f"{name} stands at {account.balance}, its entries make {balance}"


def c3_transactions_balance(case: Case) -> Iterator[str]:
    """The entries of a transaction sum to zero in each currency, are two or more, and fit the currency."""
    for name, entries in case.books.by_transaction.items():
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for entry in entries:
            currency = case.books.accounts[entry.ledger, entry.account].currency
            sums[currency] += entry.amount
            if not entry.amount.is_finite() or entry.amount != round(entry.amount, EXPONENTS[currency]):
                yield f"transaction {name} moves {entry.amount} {currency}, which has too many decimals"
        if any(total != 0 for total in sums.values()) or len(entries) < 2:
            yield f"transaction {name} has entries {[str(entry.amount) for entry in entries]}"


def c4_limits_always_held(case: Case) -> Iterator[str]:
    """No account of a bank ever held less than nothing, after any of its entries."""
    for name in _BANK:
        for entry in case.books.by_account.get(name, ()):
            if entry.balance < 0:
                yield f"{name} seq {entry.seq} left {entry.balance}"


def c5_keys(case: Case) -> Iterator[str]:
    """What a client was told of a key is what is in the books: posted once, or never; and each intent at most once."""
    for name, transactions in case.books.by_key.items():
        if len(transactions) > 1:
            yield f"{name} was posted {len(transactions)} times"
    intents = Counter((one.ledger, one.reference) for one in case.books.transactions.values() if one.reference)
    yield from (f"intent {name} was posted {count} times" for name, count in intents.items() if count > 1)

    for attempt in case.told.attempts:
        if attempt.result in ("posted", "replayed"):
            yield from _told_posted(case, attempt)
        elif attempt.result in ("refused", "fail"):
            if _made(case, attempt):
                yield f"{attempt} was told {attempt.result}, and is posted"
        elif attempt.call.function != "command":
            yield from _settled(case, attempt)
    yield from _of_nobody(case)
    yield from _by_command(case)


def _told_posted(case: Case, attempt: Attempt) -> Iterator[str]:
    told = case.books.transactions.get((attempt.ledger, attempt.told["id"]))
    if told is None or told.key != attempt.key:
        yield f"{attempt} was told {attempt.result} as {attempt.told['id']}, which is not there"
    elif (attempt.result == "posted") != (told.id == attempt.id):
        yield f"{attempt} was told {attempt.result} as {told.id}, and would have made {attempt.id}"


def _settled(case: Case, attempt: Attempt) -> Iterator[str]:
    """Settled is what is posted under the key, if it is what was asked."""
    place = (attempt.call.client, attempt.call.op, attempt.part)
    if place not in case.told.settled:
        yield f"{attempt} is unknown, and nobody settled it"
        return
    same = [one.id for one in case.books.by_key.get((attempt.ledger, attempt.key), ()) if _repeats(case, one, attempt)]
    if case.told.settled[place] != next(iter(same), None):
        yield f"{attempt} was settled as {case.told.settled[place]}, in the books is {same}"


def _made(case: Case, attempt: Attempt) -> bool:
    """Whether it is this very attempt that was posted."""
    return (attempt.ledger, attempt.id or "") in case.books.transactions


def _repeats(case: Case, transaction: Transaction, attempt: Attempt) -> bool:
    return _payload(transaction, case.books.by_transaction.get((attempt.ledger, transaction.id), [])) == _asked(attempt)


def _by_command(case: Case) -> Iterator[str]:
    """`resolve` says of a command that was killed whether it was posted; what it does not list was never sent."""
    runs = case.told.named("resolve")
    said: dict[tuple[str, str], set[str]] = defaultdict(set)
    for run in runs:
        for key, status in run.told["statuses"]:
            said[run.asked["client"], key].add(status)
    for attempt in case.told.attempts:
        if attempt.call.function != "command" or attempt.result != "unknown":
            continue
        statuses = said.get((attempt.call.client, attempt.key))
        if statuses is None:
            if _made(case, attempt):
                yield f"{attempt} was not listed, and is posted"
            continue
        posted = case.books.by_key.get((attempt.ledger, attempt.key), [])
        status = "not posted" if not posted else "posted" if _repeats(case, posted[0], attempt) else "key in use"
        if status not in statuses:
            yield f"{attempt} was {', '.join(statuses)}, and is {status}"
    yield from (f"resolve ended with {run.told['code']}" for run in runs if run.told["code"] not in (0, 76))


def _of_nobody(case: Case) -> Iterator[str]:
    for transaction in case.books.transactions.values():
        name = (transaction.ledger, transaction.id)
        if name not in case.by_id and not transaction.key.startswith(("fill ", "alive ")):
            yield f"nobody asked for {transaction.ledger} '{transaction.key}'"


def c6_no_half_transfer(case: Case) -> Iterator[str]:
    """A transaction has all its entries, an entry its transaction, and what was sent together was written together."""
    for name, entries in case.books.by_transaction.items():
        if name not in case.books.transactions:
            yield f"{len(entries)} entries belong to no transaction {name}"
    for name in case.books.transactions:
        attempt = case.by_id.get(name)
        entries = case.books.by_transaction.get(name, [])
        if not entries or (attempt is not None and len(entries) != len(attempt.legs)):
            yield f"transaction {name} has {len(entries)} entries"
    refused = {(line.ledger, line.writer, line.subject) for line in case.books.audit if line.outcome == "refused"}
    for call, attempts in _together(case):
        made = [(attempt.ledger, attempt.id or "") for attempt in attempts]
        writers = {case.books.transactions[name].writer for name in made if name in case.books.transactions}
        # After a lost answer the call runs again: what had been refused may then be posted, by another transaction.
        # Whether the API lost one, nobody tells us.
        if call.how == "ok" and not call.told.get("lost", call.asked.get("mode") == "each") and len(writers) > 1:
            yield f"{call.client} op {call.op} was written by several transactions"
        for writer in writers:
            for attempt in attempts:
                left_out = (attempt.ledger, writer, attempt.key) in refused
                if (attempt.ledger, attempt.key) not in case.books.by_key and not left_out:
                    yield f"{call.client} op {call.op} is posted, but for '{attempt.key}'"
                if left_out and call.asked.get("mode") == "all":
                    yield f"{call.client} op {call.op} was to be whole or not at all, and '{attempt.key}' was refused"


def _together(case: Case) -> Iterator[tuple[Call, list[Attempt]]]:
    return ((call, list(sent)) for call, sent in groupby(case.told.attempts, lambda attempt: attempt.call))


def c7_sequence(case: Case) -> Iterator[str]:
    """An account's entries are numbered 1, 2, 3 ... and their times never go back."""
    for name, account in case.books.accounts.items():
        entries = case.books.by_account.get(name, [])
        if [entry.seq for entry in entries] != list(range(1, account.seq + 1)):
            yield f"{name} counts {account.seq} entries, and has {len(entries)}"
        last = None
        for entry in entries:
            transaction = case.books.transactions.get((entry.ledger, entry.transaction))
            if transaction is not None:
                if last is not None and transaction.posted_at < last:
                    yield f"{name} seq {entry.seq} was posted before seq {entry.seq - 1}"
                last = transaction.posted_at


def c8_real_time(case: Case) -> Iterator[str]:
    """Whoever asks after an answer was given sees what it said: in seq, and in what is read."""
    for attempt in case.told.attempts:
        if attempt.result == "posted":
            for entry in case.books.by_transaction.get((attempt.ledger, attempt.told["id"]), ()):
                least = case.windows.least((entry.ledger, entry.account), attempt.call.invoked)
                if entry.seq <= least:
                    yield f"{attempt} came after seq {least} of {entry.account} and has seq {entry.seq}"
    for call in case.told.named("read", "balance"):
        if call.how != "ok" or call.ended is None:
            continue
        for code, (balance, seq) in call.told["balances"].items():
            name = (call.asked["ledger"], code)
            least, most = case.windows.least(name, call.invoked), case.windows.most(name, call.ended)
            if not least <= seq <= most:
                yield f"{call.client} op {call.op} read {name} at seq {seq}, not in {least} to {most}"
            elif _balance(case.books, name, seq) != Decimal(balance):
                yield f"{call.client} op {call.op} read {balance} at seq {seq} of {name}"


def c10_audited(case: Case) -> Iterator[str]:
    """Every posting has one line in the audit log, written by the same transaction, and every such line its posting."""
    lines: dict[Named, list[Any]] = defaultdict(list)
    for line in case.books.audit:
        if line.outcome == "posted":
            lines[line.ledger, line.subject].append(line)
    for name, transaction in case.books.transactions.items():
        writers = [(line.action, line.writer) for line in lines.get(name, ())]
        if writers != [(transaction.kind, transaction.writer)]:
            yield f"transaction {name} has audit lines {writers}"
    yield from (f"the audit log names {name}, which is not there" for name in lines.keys() - case.books.transactions)


def c11_replays_repeat(case: Case) -> Iterator[str]:
    """A replay tells what the first answer told; another payload under the key is never called one."""
    for attempt in case.told.attempts:
        if attempt.result not in ("posted", "replayed"):
            continue
        transaction = case.books.transactions.get((attempt.ledger, attempt.told["id"]))
        if transaction is None:
            continue  # c5 says so
        entries = case.books.by_transaction.get((attempt.ledger, transaction.id), [])
        if _payload(transaction, entries) != _asked(attempt):
            yield f"{attempt} was {attempt.result} as {transaction.id}, which is another request"
        told = attempt.told.get("entries")
        if told is not None and not _same_lines(told, [_line(case, entry) for entry in entries]):
            yield f"{attempt} was told entries {told}"
        if attempt.told.get("key", attempt.key) != attempt.key:
            yield f"{attempt} was told the key {attempt.told['key']}"
        at = attempt.told.get("posted_at")
        if at is not None and datetime.fromisoformat(at) != transaction.posted_at:
            yield f"{attempt} was told the time {at}"
    for call in case.told.named("http"):
        results = {result["is"] for result in call.told.get("results", ())}
        if call.told.get("replayed", results == {"replayed"}) != (results == {"replayed"}):
            yield f"{call.client} op {call.op} was told by the header otherwise than by {results}"


def _same_lines(told: list[list[Any]], found: list[list[Any]]) -> bool:
    """The API does not tell which seq an entry has."""
    if any(seq is None for _, seq, _, _ in told):
        found = [[account, None, amount, balance] for account, _, amount, balance in found]
    return sorted(told, key=str) == sorted(found, key=str)


def _line(case: Case, entry: Entry) -> list[Any]:
    """As a client is told it: in minor units."""
    exponent = EXPONENTS[case.books.accounts[entry.ledger, entry.account].currency]
    return [entry.account, entry.seq, int(entry.amount.scaleb(exponent)), int(entry.balance.scaleb(exponent))]


def c12_serial_model(case: Case) -> Iterator[str]:
    """Replayed one by one in an order that every seq allows, each posting was allowed, and each refusal was right."""
    yield from _accepted(case)
    for attempt in case.told.attempts:
        if attempt.result == "refused":
            wrong = _wrongly_refused(case, attempt)
            if wrong:
                yield f"{attempt} was refused {attempt.told['reason']}, but {wrong}"
    for call in case.told.named("door"):
        [send] = call.asked["sends"]
        if all(_is_amount(leg[2]) for leg in send["legs"]):
            yield f"{call.client} op {call.op} was refused at the door with {send['legs']}"
        if any(result["is"] != "refused" for result in call.told.get("results", ())):
            yield f"{call.client} op {call.op} was let in with {send['legs']}"


def _accepted(case: Case) -> Iterator[str]:
    done: dict[Named, Transaction] = {}
    standing: Counter[Named] = Counter()
    for transaction in _in_order(case.books):
        if isinstance(transaction, str):
            yield transaction
            return
        name = (transaction.ledger, transaction.id)
        entries = case.books.by_transaction.get(name, [])
        for entry in entries:
            place = (entry.ledger, entry.account)
            exponent = EXPONENTS[case.books.accounts[place].currency]
            units = entry.amount.scaleb(exponent)
            standing[place] += int(units) if units.is_finite() else 0
            if standing[place] < 0 and not entry.account.startswith(OUTSIDE):
                yield f"transaction {name} was posted with too little in {place}"
        if transaction.reverses is not None:
            original = done.get((transaction.ledger, transaction.reverses))
            yield from _reversal(case, transaction, entries, original)
        attempt = case.by_id.get(name)
        if attempt is not None and not all(map(_is_amount, attempt.said)):
            yield f"{attempt} is posted with {attempt.said}"
        if attempt is not None and sorted(_said(attempt)) != sorted((entry.account, entry.amount) for entry in entries):
            yield f"{attempt} asked for {_said(attempt)}, posted is {[(e.account, str(e.amount)) for e in entries]}"
        done[name] = transaction
    if case.steady:
        yield from _while_frozen(case)
    yield from _surely_frozen(case)


def _in_order(books: Books) -> Iterator[Transaction | str]:
    """Each transaction once all before it in each of its accounts are done; the orders agree, or a word that not."""
    waiting = {name: len(entries) for name, entries in books.by_transaction.items() if name in books.transactions}
    ready: list[Named] = []
    at: Counter[Named] = Counter()

    def advance(place: Named) -> None:
        entries = books.by_account[place]
        if at[place] < len(entries):
            name = (place[0], entries[at[place]].transaction)
            if name in waiting:
                waiting[name] -= 1
                if not waiting[name]:
                    ready.append(name)

    for place in books.by_account:
        advance(place)
    count = 0
    while ready:
        name = ready.pop()
        count += 1
        yield books.transactions[name]
        for entry in books.by_transaction[name]:
            at[entry.ledger, entry.account] += 1
            advance((entry.ledger, entry.account))
    if count != len(waiting):
        yield f"{len(waiting) - count} transactions stand in no common order"


def _reversal(
    case: Case, transaction: Transaction, entries: list[Entry], original: Transaction | None
) -> Iterator[str]:
    name = (transaction.ledger, transaction.id)
    if original is None or original.kind == "reversal":
        yield f"{name} reverses what it may not"
        return
    if len(case.books.reversed_by[transaction.ledger, original.id]) > 1:
        yield f"{original.id} was reversed more than once"
    undone = {entry.account: -entry.amount for entry in case.books.by_transaction[original.ledger, original.id]}
    mine = {entry.account: entry.amount for entry in entries}
    whole = mine == undone
    part = len(mine) == 2 and mine.keys() == undone.keys()
    if not whole and not (part and all(0 < mine[code] / undone[code] <= 1 for code in mine)):
        yield f"{name} is not the opposite of {original.id}"


def _while_frozen(case: Case) -> Iterator[str]:
    """The audit log's times and those of postings are taken under the same lock, so they order the two."""
    frozen: dict[Named, list[tuple[Any, bool]]] = defaultdict(list)
    for line in case.books.audit:
        if line.outcome == "done" and line.action in ("account freeze", "account unfreeze"):
            frozen[line.ledger, line.subject].append((line.at, line.action == "account freeze"))
    for place, changes in frozen.items():
        ends = [*changes[1:], (None, False)]
        times = [
            case.books.transactions[place[0], entry.transaction].posted_at
            for entry in case.books.by_account.get(place, ())
            if (place[0], entry.transaction) in case.books.transactions
        ]
        for (since, is_frozen), (until, _) in zip(changes, ends, strict=True):
            inside = [at for at in times if at > since and (until is None or at < until)]
            if is_frozen and inside:
                yield f"{place} was frozen at {since}, and posted to at {inside[0]}"


def _surely_frozen(case: Case) -> Iterator[str]:
    """By the clients' clock: whoever began after a freeze was acknowledged, and ended before an unfreeze was begun."""
    for freeze in case.told.named("freeze"):
        if freeze.how != "ok" or freeze.ended is None:
            continue
        place = _subject(freeze)
        until = min((one.invoked for one in _thaws(case, place) if _can_follow(one, freeze)), default=None)
        for entry in case.books.by_account.get(place, ()):
            attempt = case.by_id.get((entry.ledger, entry.transaction))
            if attempt is None or attempt.call.ended is None or attempt.call.invoked <= freeze.ended:
                continue
            if attempt.call.function == "http" and attempt.call.how == "unknown":  # whoever hangs up ends nothing
                continue
            if until is None or attempt.call.ended < until:
                yield f"{attempt} was posted while {place} was surely frozen"


def _can_follow(thaw: Call, freeze: Call) -> bool:
    return thaw.ended is None or thaw.ended > freeze.invoked


def _subject(call: Call) -> Named:
    return call.asked["ledger"], call.asked["account"]


def _thaws(case: Case, name: Named) -> list[Call]:
    return [call for call in case.told.named("unfreeze") if _subject(call) == name]


def _can_be_frozen(case: Case, name: Named, call: Call) -> bool:
    """Whether a freeze was asked for before the call ended that no thaw had surely undone before the call began."""
    thaws = [thaw for thaw in _thaws(case, name) if thaw.how == "ok" and (thaw.ended or 0) < call.invoked]
    return any(
        freeze.invoked < (call.ended or call.invoked)
        and not any(freeze.ended is not None and freeze.ended < thaw.invoked for thaw in thaws)
        for freeze in case.told.named("freeze")
        if _subject(freeze) == name
    )


def _begun_before(case: Case, transaction: Transaction, attempt: Attempt) -> bool:
    """Whether it can have been in the books when the attempt was answered."""
    maker = case.by_id.get((transaction.ledger, transaction.id))
    return maker is None or attempt.call.ended is None or maker.call.invoked < attempt.call.ended


def _wrongly_refused(case: Case, attempt: Attempt) -> str:
    """Why the refusal was wrong; empty when it was right."""
    match attempt.told["reason"]:
        case "INSUFFICIENT_FUNDS":
            return _had_enough(case, attempt)
        case "IDEMPOTENCY_CONFLICT":
            others = case.books.by_key.get((attempt.ledger, attempt.key), [])
            wrong = [one for one in others if not _repeats(case, one, attempt) and _begun_before(case, one, attempt)]
            return "" if wrong else "the key had no other payload"
        case "DUPLICATE_KEY":
            same = [send for send in attempt.call.asked["sends"] if send["key"] == attempt.key]
            return "" if len(same) > 1 else "it stands there once"
        case "ALREADY_REVERSED":
            reversals = case.books.reversed_by.get((attempt.ledger, attempt.reverses or ""), [])
            return "" if any(_begun_before(case, one, attempt) for one in reversals) else "nothing had reversed it"
        case "REVERSAL_OF_REVERSAL":
            original = case.books.transactions[attempt.ledger, attempt.reverses or ""]
            return "" if original.kind == "reversal" else "it is none"
        case "PARTIAL_REVERSAL":
            undone = {
                entry.account: -entry.amount
                for entry in case.books.by_transaction[attempt.ledger, attempt.reverses or ""]
            }
            fits = len(undone) == 2 and all(abs(amount) <= abs(undone[code]) for code, amount in attempt.legs)
            return "it could be" if fits else ""
        case "ACCOUNT_FROZEN":
            codes = [attempt.told["account"]] if attempt.told.get("account") else [code for code, _ in attempt.legs]
            frozen = any(_can_be_frozen(case, (attempt.ledger, code), attempt.call) for code in codes)
            return "" if frozen else "it was not"
        case "TOO_MANY_DECIMALS":
            fits = all(_decimals(text) <= _exponent(attempt.ledger, code) for code, text in _words(attempt))
            return "they fit" if fits else ""
        case "BAD_AMOUNT":
            return "" if not all(map(_is_amount, attempt.said)) else "it is one"
        case other:
            return f"nothing here can be {other}"


def _had_enough(case: Case, attempt: Attempt) -> str:
    """There must have been a moment, while it was asked, at which it could not be paid."""
    if attempt.call.ended is None:
        return ""
    for code, amount in attempt.legs:
        name = (attempt.ledger, code)
        least = case.windows.least(name, attempt.call.invoked)
        most = case.windows.most(name, attempt.call.ended)
        lowest = min(_balance(case.books, name, seq) for seq in range(least, max(least, most) + 1))
        lowest += _undone(attempt, code)
        if amount < 0 and lowest + amount < 0:
            return ""
    return "there was enough all the time"


def _undone(attempt: Attempt, code: str) -> Decimal:
    """What those before it in its list may have taken from the account, where all were undone with it."""
    if attempt.call.asked.get("mode") != "all":
        return Decimal(0)
    before = [entry for send in attempt.call.asked["sends"][: attempt.part] for entry in send["entries"]]
    return -sum((Decimal(one["debit"]) for one in before if one["account"] == code and "debit" in one), Decimal(0))


def c13_reconcile_agrees(case: Case) -> Iterator[str]:
    """The program's own reconciliation of a ledger finds something where these checkers do, and nothing elsewhere.

    A run of what is new and a full one agree; and where runs were made meanwhile, each transaction was new to one.
    """
    for ledger in LEDGERS:
        books = case.books.of(ledger)
        damaged = _is_damaged(replace(case, books=books))
        runs = [call for call in case.told.named("reconcile") if call.asked["ledger"] == ledger]
        if [bool(call.told.get("findings", "none")) for call in runs] != [damaged, damaged]:
            found = [call.told.get("findings") for call in runs]
            yield f"reconcile found {found} in {ledger}, which is {'damaged' if damaged else 'sound'}"
        earlier = [call for call in case.told.named("verify") if call.asked["ledger"] == ledger]
        if earlier and not damaged and all(call.how == "ok" for call in earlier):
            counted = sum(call.told["transactions"] for call in [*earlier, *runs[:1]])
            if counted != len(books.transactions):
                yield f"reconcile looked at {counted} of {len(books.transactions)} transactions of {ledger}"


def _is_damaged(case: Case) -> bool:
    """What reconcile looks for: in balances, entries, sequences, links."""
    numbered = all(
        [entry.seq for entry in case.books.by_account.get(name, [])] == list(range(1, account.seq + 1))
        for name, account in case.books.accounts.items()
    )
    whole = case.books.by_transaction.keys() == case.books.transactions.keys()
    once = all(len(reversals) == 1 for reversals in case.books.reversed_by.values())
    checks = (c2_balances_are_entries, c3_transactions_balance)
    return not (numbered and whole and once) or any(_all_of(check, case) for check in checks)


def c15_alive(case: Case) -> Iterator[str]:
    """When the faults are over, transfers go through, nobody holds a lock, and nobody met in a deadlock."""
    calls = case.told.named("liveness")
    if not calls:
        yield "nobody tried a transfer after the faults"
    for call in calls:
        if call.how != "ok" or call.ended is None:
            yield f"the transfers after the faults ended {call.how}: {call.told.get('code')}"
            continue
        if call.ended - call.invoked > _REVIVED_NS:
            yield f"the transfers after the faults took {(call.ended - call.invoked) / 1e9:.0f} s"
        if call.told["open"]:
            yield f"{call.told['open']} transactions stand open"
        if call.told["deadlocks"]:
            yield f"{call.told['deadlocks']} deadlocks"


def c16_stopped_in_order(case: Case) -> Iterator[str]:
    """A process of the API that is asked to stop answers all that it took, and ends well."""
    calls = {call.mark: call for call in case.told.named("http")}
    for stop in case.told.named("stop"):
        if stop.told.get("code") != 0:
            yield f"api {stop.asked['api']} ended with {stop.told.get('code')}"
        for taken in stop.told.get("taken", ()):
            call = calls.get(taken)
            if call is not None and call.told.get("code") == "LOST":
                yield f"{call.client} op {call.op} was taken by api {stop.asked['api']}, and never answered"


def surprises(case: Case) -> Iterator[str]:
    """No client was told of an error that none of the program's rules foresees."""
    for call in case.told.calls:
        code = str(call.told.get("code", ""))
        refused = call.how == "ok" and call.function in ("freeze", "unfreeze") and "results" in call.told
        if refused or (call.how == "fail" and code not in _FORESEEN):
            yield f"{call.client} op {call.op} ({call.function}): {call.told}"


CHECKERS: dict[str, Callable[[Case], Iterator[str]]] = {
    "C1": c1_reads_sum_to_total,
    "C2": c2_balances_are_entries,
    "C3": c3_transactions_balance,
    "C4": c4_limits_always_held,
    "C5": c5_keys,
    "C6": c6_no_half_transfer,
    "C7": c7_sequence,
    "C8": c8_real_time,
    "C10": c10_audited,
    "C11": c11_replays_repeat,
    "C12": c12_serial_model,
    "C13": c13_reconcile_agrees,
    "C15": c15_alive,
    "C16": c16_stopped_in_order,
    "surprise": surprises,
}


def violations(case: Case) -> dict[str, list[str]]:
    """Of every checker that has something to say, all that it says."""
    said = {name: _all_of(check, case) for name, check in CHECKERS.items()}
    return {name: sentences for name, sentences in said.items() if sentences}


def _all_of(check: Callable[[Case], Iterator[str]], case: Case) -> list[str]:
    said: list[str] = []
    try:
        said.extend(check(case))
    except (ArithmeticError, LookupError, ValueError) as error:  # an amount that is no number, an entry of no account
        said.append(f"cannot count: {error!r}")
    return said


def _balance(books: Books, name: Named, seq: int) -> Decimal:
    entries = books.by_account.get(name, [])
    return entries[seq - 1].balance if 0 < seq <= len(entries) else Decimal(0)


def _payload(transaction: Transaction, entries: list[Entry]) -> tuple[Any, ...]:
    legs = sorted((entry.account, entry.amount) for entry in entries)
    return transaction.kind, transaction.reference, transaction.reverses, legs


def _asked(attempt: Attempt) -> tuple[Any, ...]:
    return attempt.kind, attempt.intent, attempt.reverses, sorted(_said(attempt))


def _said(attempt: Attempt) -> list[tuple[str, Decimal]]:
    """Each leg with the amount that the client named."""
    return [
        (code, Decimal(text).copy_sign(amount) if _is_amount(text) else amount)
        for (code, amount), text in zip(attempt.legs, attempt.said, strict=True)
    ]


def _words(attempt: Attempt) -> list[tuple[str, str]]:
    return [(code, text) for (code, _), text in zip(attempt.legs, attempt.said, strict=True)]


def _exponent(ledger: str, code: str) -> int:
    return _BANK[ledger, code].exponent


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def _is_amount(text: str) -> bool:
    return _AMOUNT.fullmatch(text) is not None and Decimal(text) > 0
