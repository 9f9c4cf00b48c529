"""Elements of a marked-up file, each with the line that it begins in."""

from __future__ import annotations

from dataclasses import dataclass, field

from ledgerctl.formats.bank.values import Misread

DEPTH_MAX = 64
"""So deep may elements stand in each other; statements need a dozen."""


@dataclass(slots=True)
class Element:
    name: str
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)
    currency: str = ""
    """The attribute Ccy of ISO 20022."""

    @property
    def place(self) -> str:
        return f"line {self.line}"

    def all(self, path: str) -> list[Element]:
        """Every element below this one by its path, such as `RmtInf/Ustrd`."""
        found = [self]
        for name in path.split("/"):
            found = [child for one in found for child in one.children if child.name == name]
            if not found:
                break
        return found

    def first(self, path: str) -> Element | None:
        return next(iter(self.all(path)), None)

    def one(self, path: str) -> Element:
        """The element of the path; Misread when there is none, or another one that may say otherwise."""
        found = self.all(path)
        if len(found) == 1:
            return found[0]
        raise Misread(self.place, f"{self.name} has {'more than one' if found else 'no'} {path}")

    def value(self, path: str) -> str:
        """The text of the first element of the path that is there, else ""."""
        found = self.first(path)
        return found.text if found else ""

    def values(self, path: str) -> list[str]:
        return [one.text for one in self.all(path)]
