"""Texts that the books may keep: codes of accounts, idempotency keys, what people write."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from ledgerctl import errors
from ledgerctl.core.money import shown

CODE = re.compile(r"[A-Za-z0-9:_.\-]{1,128}")
_TEXT_MAX = {
    "idempotency_key": 255, "reference": 255, "description": 1000, "reason": 1000, "name": 200, "metadata": 500,
    "actor": 200,
}  # fmt: skip
_METADATA_PAIRS_MAX = 50


def is_account_code(text: str) -> bool:
    return CODE.fullmatch(text) is not None


def account_code(text: str) -> str:
    """`text` if it can be an account's code, else BadCode."""
    if not is_account_code(text):
        raise errors.BadCode(text=shown(text))
    return text


def plain_text(field: str, text: str) -> str:
    """Text fit to be kept: NFC, no control characters but tab and line end, no longer than the field takes."""
    longest = _TEXT_MAX[field]
    if len(text) > longest:
        raise errors.BadText(field=field, problem=f"it is longer than {longest} characters ({len(text)})")
    if text.isascii() and text.isprintable():
        return text
    if any(unicodedata.category(char) in ("Cc", "Cs") and char not in "\t\n" for char in text):
        raise errors.BadText(field=field, problem=f"it holds a control character: '{shown(text)}'")
    return unicodedata.normalize("NFC", text)


def are_plain(field: str, texts: Sequence[str]) -> bool:
    """Whether `plain_text` gives each of them back as it is because it is ASCII; asked of many at once."""
    joined = "".join(texts)
    return joined.isascii() and joined.isprintable() and max(map(len, texts), default=0) <= _TEXT_MAX[field]


def idempotency_key(text: str) -> str:
    """`text` if it can be a key: one to 255 characters."""
    if not text.strip():
        raise errors.BadText(field="idempotency_key", problem="it is empty")
    return plain_text("idempotency_key", text)


def checked_metadata(pairs: Mapping[str, str]) -> dict[str, str]:
    """Pairs fit to be kept: at most 50, of plain text."""
    if len(pairs) > _METADATA_PAIRS_MAX:
        raise errors.BadText(field="metadata", problem=f"it has more than {_METADATA_PAIRS_MAX} pairs")
    checked = {plain_text("metadata", key): plain_text("metadata", value) for key, value in pairs.items()}
    if len(checked) != len(pairs):
        raise errors.BadText(field="metadata", problem="two of its names are the same in Unicode's normal form C")
    return checked
