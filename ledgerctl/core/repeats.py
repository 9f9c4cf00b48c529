"""A key that stands twice in one file, told from the honest replay of a row that an earlier run has posted."""

from __future__ import annotations

from collections.abc import Container
from copy import copy
from dataclasses import dataclass, field

from ledgerctl.core.decision import Reason
from ledgerctl.core.model import Earlier, Outcome, Refused, Replayed


@dataclass(slots=True)
class Replays:
    """What the rows of one file have replayed so far. It takes a bit a row: ten million of them may be replayed."""

    same_file: Container[int | None]
    """Earlier imports of the very same bytes: of those, the row that posted a key may replay it, and no other."""
    _rows: dict[int, bytearray] = field(default_factory=dict)
    _keys: set[str] = field(default_factory=set)

    def judged(self, outcomes: list[Outcome]) -> list[Outcome]:
        """The outcomes in order, with a row that repeats an earlier row of its own file refused."""
        if Replayed not in set(map(type, outcomes)):
            return outcomes
        return [
            Refused(outcome.request, Reason.DUPLICATE_KEY, {"key": outcome.request.key}, outcome.known)
            if isinstance(outcome, Replayed) and self._repeated(outcome)
            else outcome
            for outcome in outcomes
        ]

    def copy(self) -> Replays:
        """For an attempt that may come to nothing."""
        rows = {import_id: bytearray(bits) for import_id, bits in self._rows.items()}
        return Replays(self.same_file, rows, copy(self._keys))

    def _repeated(self, replayed: Replayed) -> bool:
        known = replayed.known
        if known.import_id in self.same_file:
            return known.import_row != replayed.request.import_row
        return self._seen(known)

    def _seen(self, known: Earlier) -> bool:
        if known.import_id is None or known.import_row is None:
            seen = known.key in self._keys
            self._keys.add(known.key)
            return seen
        bits = self._rows.setdefault(known.import_id, bytearray())
        place, bit = known.import_row >> 3, 1 << (known.import_row & 7)
        if place >= len(bits):
            bits.extend(bytes(max(place + 1 - len(bits), len(bits))))  # doubled, so that growing costs little
        seen = bool(bits[place] & bit)
        bits[place] |= bit
        return seen
