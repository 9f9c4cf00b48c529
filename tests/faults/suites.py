"""The runs that docs/reliability.md tells of: what each does, what it counts, and how much of it makes a tier.

    python -m tests.faults.suites crashes --tier release

runs seeds one after another until the tier's number is reached, and prints what was counted. Exit 1 on a violation.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from tests.faults import campaign, clocks
from tests.faults.campaign import Plan, Result
from tests.faults.servers import Server

_IN_VAIN = 20
TIERS = ("ci", "nightly", "release")


class Suite(NamedTuple):
    """`counted` is what a tier asks for so many of."""

    words: str
    counted: str
    targets: tuple[int, int, int]
    plan: Callable[[int], Plan]
    server: Callable[[], AbstractContextManager[Server]] = campaign.server
    impossible: Callable[[], str] = lambda: ""
    """Why it cannot be run here; empty when it can."""


def _transfers(seed: int) -> Plan:
    """Much money in the banks, so that few are refused; every fourth run is the small bank, where many are."""
    if seed % 4:
        return Plan(seed, "large batches", 4, 200, money=100_000)
    return Plan(seed, "bank", 8, 2_000)


def _crashes(seed: int) -> Plan:
    processes = ("kill client", "kill client at a point", "kill client at a point")
    servers = ("kill backend", "kill server", "stop immediately")
    return Plan(seed, "bank", 8, 100_000, (*processes, *processes, *servers), 30, (0.02, 0.15))


def _chaos(seed: int) -> Plan:
    faults = ("kill client", "kill backend", "terminate session", "cancel statement", "freeze process")
    return Plan(seed, "bank", 6, 100_000, faults, 20, wire=("lost answer", "slow", "late request"), wire_rate=0.02)


def _on_the_wire(*kinds: str) -> Callable[[int], Plan]:
    return lambda seed: Plan(seed, "bank", 8, 120, wire=kinds, wire_rate=0.5)


def _stalls(seed: int) -> Plan:
    settings = {"statement_timeout_ms": 300, "lock_timeout_ms": 300, "idle_timeout_ms": 500}
    return Plan(seed, "singles", 6, 60, wire=("stall",), wire_rate=0.1, settings=settings)


def _timeouts(seed: int) -> Plan:
    settings = {"lock_timeout_ms": 5, "statement_timeout_ms": 200, "deadline_s": 0.1, "retry_attempts": 2}
    return Plan(seed, "bank", 8, 300, settings=settings)


def _through_http(seed: int) -> Plan:
    """One client runs commands, three ask two processes of the REST API, two call the services."""
    apis = ("kill api", "kill api at a commit", "kill api at a commit", "stop api")
    return Plan(
        seed, "bank", 6, 100_000, (*apis, "kill backend", "kill server", "kill client"), 10, (0.05, 0.3), ahead=300,
        by_command_line=1, command_share=0.2, by_http=3,
    )  # fmt: skip


def _commands(seed: int) -> Plan:
    return Plan(seed, "singles", 3, 36, by_command_line=2, ahead=10)


SUITES = {
    "transfers": Suite("no fault", "posted", (2_000, 100_000, 1_000_000), _transfers),
    "crashes": Suite("clients and servers killed", "crashes", (15, 300, 1_000), _crashes),
    "lost answers": Suite(
        "the answer to COMMIT lost", "wire lost answer", (30, 500, 2_000), _on_the_wire("lost answer")
    ),
    "lost requests": Suite("COMMIT itself lost", "wire lost request", (30, 500, 2_000), _on_the_wire("lost request")),
    "cut messages": Suite(
        "messages cut in half, late, slow, or followed by FATAL",
        "in flight",
        (30, 500, 2_000),
        _on_the_wire("half request", "half answer", "late request", "fatal answer", "slow"),
    ),
    "stalls": Suite("a server that says nothing more", "wire stall", (2, 20, 100), _stalls),
    "races": Suite(
        "one key from two to eight clients at once",
        "races",
        (60, 3_000, 20_000),
        lambda seed: Plan(seed, "races", 8, 150, ahead=1),
    ),
    "timeouts": Suite("locks waited for in vain", "fail", (10, 200, 2_000), _timeouts),
    "chaos": Suite("several faults at once", "strikes", (10, 100, 400), _chaos),
    "clocks": Suite(
        "the server's clock steps up to an hour to and fro",
        "strikes",
        (20, 200, 1_000),
        lambda seed: Plan(seed, "bank", 6, 100_000, ("step clock",), 50, (0.01, 0.1)),
        clocks.server,
        clocks.impossible,
    ),
    "through HTTP": Suite(
        "the REST API's processes killed and stopped, beside commands and the library",
        "strikes",
        (5, 100, 400),
        _through_http,
    ),
    "commands": Suite("the command line, killed at every point", "crashes", (4, 60, 200), _commands),
}


@dataclass
class Total:
    """What all runs of a suite counted together."""

    runs: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    unknown: int = 0
    """Runs in which no fault struck a commit; what they counted is left out."""
    violations: dict[int, dict[str, list[str]]] = field(default_factory=dict)
    """By seed."""

    def add(self, seed: int, result: Result) -> None:
        self.runs += 1
        if result.violations:
            self.violations[seed] = result.violations
        if result.verdict == "unknown":
            self.unknown += 1
        else:
            self.counts.update(result.counts)


def run(name: str, tier: str, first_seed: int = 1) -> Total:
    """Seeds one after another on a new server, until the tier's number is reached or something is violated."""
    suite, total, seed = SUITES[name], Total(), first_seed
    with suite.server() as server:
        while total.counts[suite.counted] < suite.targets[TIERS.index(tier)] and not total.violations:
            plan = suite.plan(seed)
            if tier == "ci":
                plan = replace(plan, steps=plan.steps // 2, strikes=plan.strikes // 2)
            total.add(seed, campaign.run(server, plan))
            seed += 1
            if total.runs > _IN_VAIN and not total.counts[suite.counted]:
                raise RuntimeError(f"{total.runs} runs of '{name}', and not one counts")
    return total


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("--tier", choices=TIERS, default="ci")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    started = time.monotonic()
    total = run(chosen.suite, chosen.tier, chosen.seed)
    shown = {
        "suite": chosen.suite,
        "seeds": f"{chosen.seed} to {chosen.seed + total.runs - 1}",
        "seconds": round(time.monotonic() - started),
        "unknown runs": total.unknown,
        "counts": dict(sorted(total.counts.items())),
        "violations": total.violations,
    }
    print(json.dumps(shown))
    return 1 if total.violations else 0


if __name__ == "__main__":
    sys.exit(main())
