"""A transaction of any number of legs, as JSON: what `ledgerctl post` reads.

`{"idempotency_key"?, "description"?, "reference"?, "effective_at"?, "metadata"?,
"entries": [{"account", "debit" or "credit", "currency"?}, ...]}`. Amounts are strings: a JSON number has been through
somebody's floats.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn
from uuid import UUID

from ledgerctl.core import money, requesting, texts
from ledgerctl.core.model import Kind, Leg, Request, Side
from ledgerctl.errors import BadFile

_TEXTS = ("idempotency_key", "description", "reference", "effective_at")
SIZE_MAX = 1 << 20


def read(name: str, content: bytes, transaction_id: UUID, key: Callable[[str | None], str]) -> Request:
    """The request in `content`. `key` is asked with the file's key, None when it has none. BadFile, BadAmount."""
    if len(content) > SIZE_MAX:
        raise BadFile(file=name, problem=f"it is larger than {SIZE_MAX} bytes")
    shape = _object(name, content)
    unknown = sorted(shape.keys() - {*_TEXTS, "metadata", "entries"})
    if unknown:
        raise BadFile(file=name, problem=f"there is no field '{money.shown(unknown[0])}'")
    for field in _TEXTS:
        if not isinstance(shape.get(field), (str, type(None))):
            raise BadFile(file=name, problem=f"{field} must be a string")
    given = shape.get("idempotency_key")
    if given is not None:
        texts.idempotency_key(given)
    metadata = shape.get("metadata")
    if metadata is not None and not _is_flat(metadata):
        raise BadFile(file=name, problem="metadata must be an object of strings")
    entries = shape.get("entries")
    if not isinstance(entries, list):
        raise BadFile(file=name, problem="entries must be a list")

    return requesting.request(
        transaction_id,
        key(given),
        Kind.JOURNAL,
        [_leg(name, number, entry) for number, entry in enumerate(entries, 1)],
        description=shape.get("description"),
        reference=shape.get("reference"),
        effective_at=shape.get("effective_at"),
        metadata=metadata,
    )


def _object(name: str, content: bytes) -> dict[str, Any]:
    def constant(text: str) -> NoReturn:
        raise BadFile(file=name, problem=f"{text} is not a value")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise BadFile(file=name, problem="a field stands twice in one object")
        return found

    try:
        shape = json.loads(content.decode("utf-8-sig"), parse_constant=constant, object_pairs_hook=once)
    except UnicodeDecodeError:
        raise BadFile(file=name, problem="it is not UTF-8") from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is a ValueError too
        raise BadFile(file=name, problem=f"it is not JSON: {error}") from None
    if not isinstance(shape, dict):
        raise BadFile(file=name, problem="it must hold one JSON object")
    return shape


def _leg(name: str, number: int, entry: Any) -> Leg:
    def bad(problem: str) -> BadFile:
        return BadFile(file=name, problem=f"entry {number}: {problem}")

    if not isinstance(entry, Mapping):
        raise bad("it must be an object")
    unknown = sorted(entry.keys() - {"account", "debit", "credit", "currency"})
    if unknown:
        raise bad(f"there is no field '{money.shown(unknown[0])}'")
    sides = [side for side in Side if entry.get(side.value) is not None]
    if len(sides) != 1:
        raise bad("it needs either a debit or a credit")
    [side] = sides
    account, currency, amount = entry.get("account"), entry.get("currency"), entry[side.value]
    if not isinstance(account, str):
        raise bad("account must be a string")
    if not isinstance(currency, (str, type(None))):
        raise bad("currency must be a string")
    if not isinstance(amount, str):
        raise bad(f'{side} must be a string such as "12.50", not a number')
    code = None if currency is None else money.currency_code(currency)
    return Leg(texts.account_code(account), side, money.parse(amount), code)


def _is_flat(metadata: Any) -> bool:
    return isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
