"""The fingerprint and the derived import key are frozen: the vectors in fingerprints.json never change."""

from __future__ import annotations

import json
import unicodedata
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerctl.core import requesting
from ledgerctl.core.fingerprint import fingerprint, transfers
from ledgerctl.core.model import Leg, Side
from ledgerctl.formats.transfer_csv import derived_key

VECTORS = json.loads((Path(__file__).parent / "fingerprints.json").read_text(encoding="utf-8"))


def computed(payload: dict[str, Any]) -> bytes:
    return fingerprint(
        payload["kind"],
        [Leg(code, Side(side), Decimal(amount), currency) for code, side, amount, currency in payload["legs"]],
        payload.get("description"),
        payload.get("reference"),
        payload.get("effective_at"),
        payload.get("metadata"),
        UUID(payload["reverses"]) if "reverses" in payload else None,
    )


def encoded(payload: dict[str, Any]) -> str:
    """The encoding once more, from its description, sharing nothing with the package."""

    def field(text: str | None) -> str:
        normal = "" if text is None else unicodedata.normalize("NFC", text)
        return "-" if text is None else f"{len(normal)}:{normal}"

    def plain(amount: str) -> str:
        return amount.rstrip("0").rstrip(".") if "." in amount else amount

    legs = sorted(([a, s, plain(x), c] for a, s, x, c in payload["legs"]), key=lambda leg: [part or "" for part in leg])
    metadata = payload.get("metadata")
    pairs = [] if metadata is None else [text for key in sorted(metadata) for text in (key, metadata[key])]
    fields = ["ledgerctl-1", payload["kind"], str(len(legs)), *(part for leg in legs for part in leg),
              payload.get("description"), payload.get("reference"), payload.get("effective_at"),
              None if metadata is None else str(len(metadata)), *pairs, payload.get("reverses")]  # fmt: skip
    return "".join(map(field, fields))


@pytest.mark.parametrize("vector", VECTORS["fingerprints"], ids=lambda vector: vector["name"])
def test_a_fingerprint_is_the_frozen_one(vector: dict[str, Any]) -> None:
    assert encoded(vector["payload"]) == vector["encoded"]
    assert sha256(vector["encoded"].encode()).hexdigest() == vector["sha256"]
    assert computed(vector["payload"]).hex() == vector["sha256"]


@pytest.mark.parametrize("names", VECTORS["equal"], ids=" = ".join)
def test_these_are_one_payload(names: list[str]) -> None:
    assert len({one["sha256"] for one in VECTORS["fingerprints"] if one["name"] in names}) == 1


def test_all_others_differ() -> None:
    same = {name: names[0] for names in VECTORS["equal"] for name in names}
    distinct = {same.get(one["name"], one["name"]) for one in VECTORS["fingerprints"]}

    assert len({one["sha256"] for one in VECTORS["fingerprints"]}) == len(distinct)


@pytest.mark.parametrize("vector", VECTORS["derived_keys"])
def test_a_derived_key_is_the_frozen_one(vector: dict[str, Any]) -> None:
    assert derived_key(sha256(vector["content"].encode()).digest(), vector["row"]) == vector["key"]


def test_a_request_carries_the_fingerprint_of_what_was_sent() -> None:
    vector = next(one for one in VECTORS["fingerprints"] if one["name"] == "effective date")
    sent = vector["payload"]
    (source, _, amount, currency), (target, *_) = sent["legs"]

    request = requesting.transfer(
        UUID(int=1), "k", source, target, Decimal(amount), currency, effective_at=sent["effective_at"]
    )

    assert request.fingerprint.hex() == vector["sha256"]


ascii_text = st.none() | st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]), min_size=1)
codes = st.sampled_from(["a", "a:b", "a-b", "b", "bank:1", "bank:10"])
amounts = st.decimals("0.01", "1e20", places=2) | st.sampled_from(
    [Decimal(text) for text in ("1", "1.0", "100", "0.5")]
)
sent = st.tuples(codes, codes, amounts, st.sampled_from([None, "EUR"]), ascii_text, ascii_text, ascii_text)


@given(st.lists(sent, min_size=1))
def test_many_transfers_at_once_have_the_fingerprints_of_each(columns: list[Any]) -> None:
    assert transfers(*zip(*columns, strict=True)) == [
        fingerprint(
            "transfer",
            [Leg(source, Side.DEBIT, amount, currency), Leg(target, Side.CREDIT, amount, currency)],
            description,
            reference,
            effective_at,
            None,
            None,
        )
        for source, target, amount, currency, description, reference, effective_at in columns
    ]
