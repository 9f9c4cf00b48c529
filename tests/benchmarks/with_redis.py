"""Replays, balances and transfers a second by one client, with Redis and without, on the same server."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle, islice

from ledgerctl.cache.server import Server as Cache
from ledgerctl.core import money, requesting
from ledgerctl.core.model import Request
from ledgerctl.ids import uuid7
from ledgerctl.services import payments
from ledgerctl.services.balance_reads import Reader
from ledgerctl.services.books import Books
from ledgerctl.services.known_outcomes import KnownOutcomes
from tests import redis_servers
from tests.benchmarks import harness
from tests.benchmarks.harness import ratio, say, spread

ACCOUNTS = 10_000
KNOWN = 2_000
"""So many requests are repeated, and the balances of so many accounts are read."""
TIMEOUT_S = 0.1


def main() -> None:
    asked = harness.options(__doc__ or "", seconds=5, rounds=5)
    with harness.server() as host, redis_servers.running() as redis:
        for database in ("without", "with"):
            harness.prepare(host, database, ACCOUNTS)
        without, served = host.books("without"), host.books("with")
        cache = Cache(redis.url, TIMEOUT_S)
        marking = replace(served, cache=cache)
        served = replace(marking, outcomes=KnownOutcomes(served.database, served.ledger, cache))
        pairs = harness.pairs(10_000_000, ACCOUNTS)
        codes = [harness.account_code(number) for number in range(KNOWN)]
        plain, reader = Reader(without), Reader(marking)
        while reader.balance(codes[0]) and not cache.counts["balances", "hit"]:
            time.sleep(0.1)
        repeated = [_request(pair) for pair in islice(pairs, KNOWN)]
        for request in repeated:
            payments.post_one(without, request)
            payments.post_one(served, request)

        def measured(one: Callable[[], object]) -> Callable[[], float]:
            return lambda: _rate(one, asked.seconds)

        rates = {}
        for work, of_redis, of_books in (
            ("replays", _replaying(served, repeated), _replaying(without, repeated)),
            ("balances", _reading(reader, codes), _reading(plain, codes)),
            ("transfers", _posting(marking, pairs), _posting(without, pairs)),
        ):
            host.checkpoint()
            found = harness.alternate(asked.rounds, {"with": measured(of_redis), "without": measured(of_books)})
            rates[work] = found
        hits = {result: number for (use, result), number in sorted(cache.counts.items()) if use == "balances"}

        rows = [
            [work, *spread(found["with"]), *spread(found["without"]), ratio(found["with"], found["without"])]
            for work, found in rates.items()
        ]
        harness.table(["a second", "with Redis", "min-max", "without", "min-max", "ratio (min-max)"], rows)
        added = [1e6 / one - 1e6 / other for one, other in zip(*rates["transfers"].values(), strict=True)]
        say(f"a transfer takes {statistics.median(added):.0f} us longer ({min(added):.0f} to {max(added):.0f})")
        say(f"balances from Redis: {hits}")
        harness.conditions(host, accounts=ACCOUNTS, seconds=asked.seconds, rounds=asked.rounds)


def _request(pair: tuple[str, str, str]) -> Request:
    key, (source, target, amount) = uuid7(), pair
    return requesting.transfer(key, str(key), source, target, money.parse(amount), harness.CURRENCY)


def _replaying(books: Books, requests: Sequence[Request]) -> Callable[[], object]:
    """Each as somebody else would send it again."""
    again = cycle([request._replace(id=uuid7()) for request in requests])
    return lambda: payments.post_one(books, next(again))


def _reading(reader: Reader, codes: Sequence[str]) -> Callable[[], object]:
    code = cycle(codes)
    return lambda: reader.balance(next(code))


def _posting(books: Books, pairs: Iterator[tuple[str, str, str]]) -> Callable[[], object]:
    return lambda: payments.post_one(books, _request(next(pairs)))


def _rate(one: Callable[[], object], seconds: float) -> float:
    done, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        one()
        done += 1
    return done / passed


if __name__ == "__main__":
    main()
