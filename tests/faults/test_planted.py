"""Each planted bug is found by a checker named beforehand: else runs without violations prove nothing."""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import replace

import pytest

from tests.faults import campaign, planted
from tests.faults.campaign import Plan, Sabotage
from tests.faults.planted import BUGS, ELSEWHERE, WAITING, Bug
from tests.faults.runs import ROOT
from tests.faults.servers import Server

OF_THE_LIST = 40
TRIES = 6
"""Some need the luck of two clients meeting, or of a crash between two instants."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: f"{bug.number} {bug.words}")
def test_a_planted_bug_is_found(fault_server: Server, bug: Bug) -> None:
    sabotage = Sabotage(lambda conninfo: planted.sow(bug, conninfo), lambda: planted.infect(bug), str(bug.number))
    with campaign.server(bug.server) if bug.server else nullcontext(fault_server) as server:
        for seed in range(bug.number, bug.number + TRIES):
            result = campaign.run(server, replace(bug.plan, seed=seed), sabotage)
            if planted.found(bug, result.violations):
                return
    pytest.fail(f"{TRIES} runs, and none of {bug.caught_by} said a word")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mix", sorted({bug.plan.mix for bug in BUGS}))
def test_without_a_bug_nobody_speaks_even_without_the_guards(fault_server: Server, mix: str) -> None:
    """Else what finds the bugs would find anything."""
    unguarded = Sabotage(lambda conninfo: planted.run_sql(conninfo, planted.WITHOUT_GUARDS))
    result = campaign.run(fault_server, Plan(77, mix, 6, 60 if mix == "large batches" else 200), unguarded)
    assert result.violations == {}


def test_every_bug_of_the_list_is_planted_or_has_its_reason() -> None:
    accounted = [bug.number for bug in BUGS] + list(WAITING) + list(ELSEWHERE)
    assert sorted(accounted) == list(range(1, OF_THE_LIST + 1))


def test_the_documentation_lists_every_bug_and_what_finds_it() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"(?m)^\| (\d+) \| .* \| (.*) \|$", page))
    assert {int(number) for number in listed} == set(range(1, OF_THE_LIST + 1))
    assert {bug.number: ", ".join(bug.caught_by) for bug in BUGS}.items() <= {
        int(number): finders for number, finders in listed.items()
    }.items()
