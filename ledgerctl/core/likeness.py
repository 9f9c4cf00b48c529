"""How alike two texts are that tell of the same payment in different words."""

from __future__ import annotations

import re
from collections.abc import Collection, Set
from functools import lru_cache

_WORD = re.compile(r"\w{2,}")
_NAME = re.compile(r"[^\W_][\w./:-]*\w")
_REFERENCE_MIN = 4
_MENTION_MIN = 6
_SAYS_NOTHING = frozenset({"nonref", "notprovided", "notprov", "none", "null", "n/a"})
"""What stands for no reference: NONREF in MT940, NOTPROVIDED in ISO 20022."""


def words(text: str) -> frozenset[str]:
    """The words of a text, in small letters."""
    return frozenset(_WORD.findall(text.casefold()))


def likeness(one: Set[str], other: Set[str]) -> float:
    """Which part of the shorter text stands in the other too, by letters: 0.0 to 1.0. Banks add words of their own."""
    shorter = min(_letters(one), _letters(other))
    return _letters(one & other) / shorter if shorter else 0.0


def references(texts: Collection[str]) -> tuple[str, ...]:
    """References as they are compared: without spaces, in small letters; not those too short to name anything."""
    spelled = (reference(text) for text in texts)
    return tuple(dict.fromkeys(text for text in spelled if len(text) >= _REFERENCE_MIN and text not in _SAYS_NOTHING))


def mentions(text: str) -> tuple[str, ...]:
    """What may be a reference in a text for people: longer words with a digit in them."""
    found = (reference(name) for name in _NAME.findall(text))
    return tuple(dict.fromkeys(name for name in found if len(name) >= _MENTION_MIN and any(map(str.isdigit, name))))


@lru_cache(maxsize=65_536)
def reference(text: str) -> str:
    return "".join(text.split()).casefold()


def _letters(words_: Collection[str]) -> int:
    return sum(map(len, words_))
