"""What the clients of a run do, step by step, all of it drawn from a seed: the same seed, the same requests.

A step holds acts, each of one client. An intent is what somebody wants done once; it is sent under one key by one to
five clients, some of whom spell the amount otherwise, and some of whom get the payload wrong.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from tests.faults.world import BANKS, Place

AMOUNT_MAX = 5
"""Units; with twelve an account or so, a debit is refused about as often as it should be to be tried."""


class Leg(NamedTuple):
    account: str
    side: str
    amount: str
    currency: str


class Send(NamedTuple):
    """One request as a client words it. `undoes` is the key of what a reversal reverses; its `amount` None for all."""

    ledger: str
    key: str
    intent: str
    legs: tuple[Leg, ...]
    undoes: str = ""
    amount: str | None = None


class Post(NamedTuple):
    """Requests sent together: each has an outcome of its own, all in one transaction."""

    sends: tuple[Send, ...]


class SetStatus(NamedTuple):
    ledger: str
    account: str
    action: str


class Read(NamedTuple):
    """All balances of a ledger at one moment."""

    ledger: str


class Reconcile(NamedTuple):
    """What is new in a ledger is verified. One client does it, so that no two are at it at once."""

    ledger: str


Act = Post | SetStatus | Read | Reconcile


BANK: Mapping[str, int] = MappingProxyType(
    {"transfer": 50, "batch": 12, "again": 9, "reversal": 9, "journal": 5, "freeze": 3, "read": 10, "odd amount": 2}
)
"""How often a step is of each kind."""
MIXES: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "bank": BANK,
        "races": {"race": 1},
        "singles": {"single": 19, "read": 1},
        "large batches": {"large batch": 18, "read": 2},
        "reversals": {"transfer": 10, "reversal": 10},
        "freezes": {"single": 13, "freeze": 7},
        "again": {"single": 10, "again": 10},
        "odd": {"single": 10, "odd amount": 10},
        "reconciled": {"single": 18, "reconcile": 2},
    }
)

_THAWED_AFTER = 3
_ODD = ("NaN", "Infinity", "1e1", "-1", "0", "1,50", "1.5", "1.005", "0.0001", "00.5", "1_0", "\u0661")
"""Some are no amounts, some have more digits than one currency or the other."""


def acts(seed: int, mix: str, step: int, clients: int) -> list[tuple[int, Act]]:
    """Who does what in a step, in no order."""
    draw = _draw(seed, step, "acts")
    one = draw.randrange(clients)
    kind = _kind(seed, mix, step)
    found: list[tuple[int, Act]] = _thaw(seed, mix, step, one)
    if kind == "read":
        return [*found, (one, Read(draw.choice(("main", "main", "twin"))))]
    if kind == "reconcile":
        return [*found, (0, Reconcile("main"))]
    if kind == "freeze":
        place = _place(seed, step)
        return [*found, (one, SetStatus(place.ledger, place.code, "freeze"))]
    if kind in ("batch", "large batch"):
        most = 16 if kind == "batch" else 200
        sends = tuple(intent(seed, mix, step, part) for part in range(draw.randint(2, most)))
        return [*found, (one, Post(sends + ((draw.choice(sends),) if draw.random() < 0.1 else ())))]
    if kind == "again":
        return [*found, (one, Post((intent(seed, mix, max(0, step - draw.randint(1, 30))),)))]
    if kind == "odd amount":
        return [*found, (one, Post((_with_amount(intent(seed, mix, step), draw.choice(_ODD)),)))]

    send = intent(seed, mix, step)
    senders = draw.sample(range(clients), min(clients, _senders(draw, kind)))
    found.append((senders[0], Post((send,))))
    for sender in senders[1:]:
        found.append((sender, Post((_again(draw, send),))))
    return found


@lru_cache(maxsize=4096)
def intent(seed: int, mix: str, step: int, part: int = 0) -> Send:
    """What is wanted in a step; another step may send it again."""
    draw = _draw(seed, step, f"intent {part}")
    name = f"{seed}.{step}.{part}"
    kind = _kind(seed, mix, step)
    ledger = _draw(seed, step, "ledger").choice(("main", "main", "twin"))  # the same for all parts of a batch
    bank = draw.choice([one for one in BANKS if one[0].ledger == ledger])
    # Both ledgers know every key: half of the intents are sent under the key of the one before.
    key = f"key {seed}.{step - step % 2}.{part}" if ledger == "twin" else f"key {name}"
    if kind == "reversal" and step:
        earlier = intent(seed, mix, draw.randrange(max(0, step - 40), step))
        half = str(draw.randint(1, 2)) if draw.random() < 0.2 else None
        return Send(earlier.ledger, f"key {name}", name, (), undoes=earlier.key, amount=half)
    places = draw.sample(bank, 3)
    if kind == "journal":
        whole, first = draw.randint(2, AMOUNT_MAX), 1
        legs = (
            _leg(places[0], "debit", whole),
            _leg(places[1], "credit", first),
            _leg(places[2], "credit", whole - first),
        )
        return Send(ledger, key, name, legs)
    amount = _amount(draw, places[0].exponent)
    return Send(ledger, key, name, (_leg(places[0], "debit", amount), _leg(places[1], "credit", amount)))


def _draw(seed: int, step: int, what: str) -> random.Random:
    return random.Random(f"{seed}:{step}:{what}")


@lru_cache(maxsize=4096)
def _kind(seed: int, mix: str, step: int) -> str:
    weights = MIXES[mix]
    return _draw(seed, step, "kind").choices(list(weights), list(weights.values()))[0]


def _senders(draw: random.Random, kind: str) -> int:
    if kind == "race":
        return draw.randint(2, 8)
    return 1 if kind == "single" else draw.choices((1, 2, 3, 4, 5), (55, 20, 10, 8, 7))[0]


def _amount(draw: random.Random, exponent: int) -> str:
    units = draw.randint(10**exponent, AMOUNT_MAX * 10**exponent)
    digits = str(units).rjust(exponent + 1, "0")
    return f"{digits[:-exponent]}.{digits[-exponent:]}" if exponent else digits


def _leg(place: Place, side: str, amount: str | int) -> Leg:
    return Leg(place.code, side, str(amount), place.currency)


def _again(draw: random.Random, send: Send) -> Send:
    """The same once more: the same payload, perhaps spelled otherwise, or one time in five another payload."""
    if send.undoes:  # a second reversal of the same, by another key
        return send._replace(key=f"{send.key} again", intent=f"{send.intent} again")
    if draw.random() < 0.2:
        amount = str(draw.randint(1, AMOUNT_MAX))
        altered = _with_amount(send, amount) if len(send.legs) == 2 else send
        # Now and then other accounts too: the two then wait for no lock in common, only for the key.
        others = [place for bank in BANKS for place in bank if place.ledger == send.ledger]
        if draw.random() < 0.5 and len(send.legs) == 2:
            bank = [place for place in others if place.currency == send.legs[0].currency]
            source, target = draw.sample(bank, 2)
            legs = (_leg(source, "debit", altered.legs[0].amount), _leg(target, "credit", altered.legs[0].amount))
            return altered._replace(legs=legs)
        return altered
    text = send.legs[0].amount
    spelled = text.rstrip("0").rstrip(".") if "." in text else f"{text}.0"
    same = spelled != text and len(send.legs) == 2 and "." in text and draw.random() < 0.5
    return _with_amount(send, spelled) if same else send


def _with_amount(send: Send, amount: str) -> Send:
    return send._replace(legs=tuple(leg._replace(amount=amount) for leg in send.legs))


def _place(seed: int, step: int) -> Place:
    return _draw(seed, step, "place").choice([place for bank in BANKS for place in bank])


def _thaw(seed: int, mix: str, step: int, client: int) -> list[tuple[int, Act]]:
    earlier = step - _THAWED_AFTER
    if earlier < 0 or _kind(seed, mix, earlier) != "freeze":
        return []
    place = _place(seed, earlier)
    return [(client, SetStatus(place.ledger, place.code, "unfreeze"))]
