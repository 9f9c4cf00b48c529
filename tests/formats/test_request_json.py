"""A request that is kept is read back as it was."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from ledgerctl.core.model import Kind, Leg, Request, Side
from ledgerctl.formats import request_json

texts = st.none() | st.text(max_size=20)
legs = st.builds(
    Leg,
    st.text(max_size=9),
    st.sampled_from(Side),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=Decimal("1e-18"), max_value=Decimal("1e24")),
    st.none() | st.just("EUR"),
)
requests = st.builds(
    Request,
    st.uuids(),
    st.text(max_size=20),
    st.binary(min_size=32, max_size=32),
    st.sampled_from(Kind),
    st.lists(legs, max_size=4).map(tuple),
    texts,
    texts,
    st.none() | st.datetimes(timezones=st.just(UTC)),
    st.none() | st.dictionaries(st.text(max_size=5), st.text(max_size=5)),
    st.none() | st.uuids(),
    st.none(),
    st.none(),
)


@given(requests)
def test_what_is_kept_is_read_back(request: Request) -> None:
    assert request_json.load(json.loads(json.dumps(request_json.dump(request)))) == request


def test_the_shape_is_that_of_the_first_release() -> None:
    """A file may be settled by a later version than wrote it."""
    request = Request(
        UUID(int=7),
        "rent-1",
        bytes(range(32)),
        Kind.REVERSAL,
        (Leg("a", Side.DEBIT, Decimal("1.50"), "EUR"), Leg("b", Side.CREDIT, Decimal("1.50"), None)),
        "Rent",
        None,
        datetime(2026, 1, 31, tzinfo=UTC),
        {"till": "7"},
        UUID(int=8),
    )

    assert request_json.dump(request) == {
        "transaction_id": "00000000-0000-0000-0000-000000000007",
        "idempotency_key": "rent-1",
        "fingerprint": "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "kind": "reversal",
        "entries": [
            {"account": "a", "debit": "1.50", "currency": "EUR"},
            {"account": "b", "credit": "1.50", "currency": None},
        ],
        "description": "Rent",
        "reference": None,
        "effective_at": "2026-01-31T00:00:00+00:00",
        "metadata": {"till": "7"},
        "reverses": "00000000-0000-0000-0000-000000000008",
    }
