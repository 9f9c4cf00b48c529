"""A client of a run: goes through the script by one of the program's doors, and writes down what it is told."""

from __future__ import annotations

import time

from tests.faults import points
from tests.faults.by_command import CommandLine
from tests.faults.by_http import Http
from tests.faults.by_library import Library
from tests.faults.points import Board
from tests.faults.runs import Run
from tests.faults.script import acts

_BEHIND_S = 0.0005


def live(run: Run, board: Board, number: int, first: int) -> None:
    """All that client `number` has to do from a step on, unless it is told to stop."""
    slot = board.slot(number)
    slot.point = "idle"  # not where the one before it died
    points.watch(slot)
    client = _kind(run, number)(run, f"client-{number}", slot)
    for step in range(first, run.steps):
        slot.step = step
        mine = [act for who, act in acts(run.seed, run.mix, step, run.clients) if who == number]
        if not mine:
            continue
        while step > board.slowest() + run.ahead and not board.stopped:
            time.sleep(_BEHIND_S)
        if board.stopped:
            break
        for act in mine:
            slot.point = "idle"
            client.perform(step, act)
    slot.done = True
    client.close()


def _kind(run: Run, number: int) -> type[Library]:
    if number < run.by_command_line:
        return CommandLine
    return Http if number < run.by_command_line + run.by_http else Library
