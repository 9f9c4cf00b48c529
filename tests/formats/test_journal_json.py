"""What `ledgerctl post` reads."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerctl.core.model import Request
from ledgerctl.errors import BadFile, LedgerError
from ledgerctl.formats import journal_json

ID = UUID(int=1)
ENTRIES = [{"account": "bank", "debit": "12.50"}, {"account": "alice", "credit": "12.50", "currency": "EUR"}]


def read(content: bytes | str) -> Request:
    data = content.encode() if isinstance(content, str) else content
    return journal_json.read("given.json", data, ID, lambda named: named or "made")


def problem(content: bytes | str) -> str:
    with pytest.raises(BadFile) as caught:
        read(content)
    return str(caught.value.details["problem"])


def with_entry(**changes: Any) -> str:
    return json.dumps({"entries": [{**ENTRIES[0], **changes}, ENTRIES[1]]})


def test_a_file_is_a_request() -> None:
    request = read(
        json.dumps(
            {
                "idempotency_key": "k-1",
                "description": "Rent",
                "reference": "inv-7",
                "effective_at": "2026-01-31",
                "metadata": {"order": "7"},
                "entries": ENTRIES,
            }
        )
    )

    assert (request.id, request.key, request.kind, request.description) == (ID, "k-1", "journal", "Rent")
    assert (request.reference, request.metadata) == ("inv-7", {"order": "7"})
    assert [(leg.account, leg.side.value, str(leg.amount), leg.currency) for leg in request.legs] == [
        ("bank", "debit", "12.50", None),
        ("alice", "credit", "12.50", "EUR"),
    ]


def test_what_is_absent_or_null_is_absent() -> None:
    request = read(json.dumps({"entries": ENTRIES, "description": None}))

    assert request.key == "made"
    assert (request.description, request.reference, request.effective_at, request.metadata) == (None,) * 4


def test_a_byte_order_mark_is_fine() -> None:
    assert read(b"\xef\xbb\xbf" + json.dumps({"entries": ENTRIES}).encode()).key == "made"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is not JSON"),
        (b"{", "it is not JSON"),
        (b"[]", "it must hold one JSON object"),
        (b'"text"', "it must hold one JSON object"),
        (b"null", "it must hold one JSON object"),
        (b"{} {}", "it is not JSON"),
        (b"\xff\xfe{\0}\0", "it is not UTF-8"),
        (b'{"description": "caf\xe9"}', "it is not UTF-8"),
        (b"{}", "entries must be a list"),
        (b'{"entries": {}}', "entries must be a list"),
        (b'{"entries": [1]}', "entry 1: it must be an object"),
        (b'{"entries": [null]}', "entry 1: it must be an object"),
        (b'{"entries": [], "entires": []}', "there is no field 'entires'"),
        (b'{"entries": [], "entries": []}', "a field stands twice in one object"),
        (b'{"entries": [{"account": "a", "account": "b", "debit": "1"}]}', "a field stands twice in one object"),
        (b'{"entries": [], "metadata": {"a": "1", "a": "2"}}', "a field stands twice in one object"),
        (b'{"entries": [], "metadata": []}', "metadata must be an object of strings"),
        (b'{"entries": [], "metadata": {"a": 1}}', "metadata must be an object of strings"),
        (b'{"entries": [], "metadata": {"a": {"b": "1"}}}', "metadata must be an object of strings"),
        (b'{"entries": [], "description": 1}', "description must be a string"),
        (b'{"entries": [], "idempotency_key": 7}', "idempotency_key must be a string"),
        (b'{"entries": [], "effective_at": 1767225600}', "effective_at must be a string"),
        (b'{"entries": NaN}', "NaN is not a value"),
        (b'{"entries": [{"account": "a", "debit": Infinity}]}', "Infinity is not a value"),
        (b'{"entries": [{"account": "a", "debit": -Infinity}]}', "-Infinity is not a value"),
        (b"[" * 100_000, "it is not JSON"),
        (b'{"a":' * 100_000, "it is not JSON"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(content: bytes, words: str) -> None:
    assert problem(content).startswith(words)


@pytest.mark.parametrize("number", [5, 5.5, 1e3, -1, 0, True])
def test_an_amount_that_is_a_number_is_refused(number: Any) -> None:
    assert problem(with_entry(debit=number)) == 'entry 1: debit must be a string such as "12.50", not a number'


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"credit": "1"}, "it needs either a debit or a credit"),
        ({"debit": None}, "it needs either a debit or a credit"),
        ({"account": None}, "account must be a string"),
        ({"account": 7}, "account must be a string"),
        ({"currency": 978}, "currency must be a string"),
        ({"amount": "1"}, "there is no field 'amount'"),
        ({"balance": "1"}, "there is no field 'balance'"),
    ],
)
def test_a_bad_entry_is_named_by_its_number(changes: dict[str, Any], words: str) -> None:
    assert problem(with_entry(**changes)) == f"entry 1: {words}"


@pytest.mark.parametrize("amount", ["1e3", "NaN", "-5", "0", "1,234.50", "１２", "", " 5", "12.50 EUR"])  # noqa: RUF001
def test_a_bad_amount_is_refused(amount: str) -> None:
    with pytest.raises(LedgerError) as caught:
        read(with_entry(debit=amount))
    assert caught.value.code == "BAD_AMOUNT"


def test_a_megabyte_is_too_large() -> None:
    assert problem(b" " * (1 << 20) + b"{}") == f"it is larger than {1 << 20} bytes"
    assert problem(b" " * ((1 << 20) - 2) + b"{}") == "entries must be a list"


def test_a_huge_number_is_a_bad_file() -> None:
    assert problem('{"entries": [], "description": ' + "9" * 5000 + "}")


@pytest.mark.parametrize("field", ["description", "reference", "idempotency_key"])
def test_half_a_surrogate_pair_is_a_bad_text(field: str) -> None:
    with pytest.raises(LedgerError) as caught:
        read(f'{{"{field}": "\\ud800", "entries": {json.dumps(ENTRIES)}}}')
    assert caught.value.code == "BAD_TEXT"


@pytest.mark.parametrize("currency", ["\\u0000", "\\ud800", "eur", "", "E" * 1000])
def test_a_currency_that_is_none_is_refused(currency: str) -> None:
    with pytest.raises(LedgerError):
        read(f'{{"entries": [{{"account": "a", "debit": "1", "currency": "{currency}"}}, {json.dumps(ENTRIES[1])}]}}')


def test_an_empty_key_is_refused_and_not_taken_for_no_key() -> None:
    """A key that came out empty, from an unset variable, would make every repeat a new payment."""
    with pytest.raises(LedgerError):
        read(json.dumps({"idempotency_key": "", "entries": ENTRIES}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NEARLY = st.fixed_dictionaries(
    {
        "entries": st.lists(
            st.fixed_dictionaries(
                {}, optional={name: JSON | st.just("1") for name in ("account", "debit", "credit", "currency")}
            ),
            max_size=3,
        )
    },
    optional=dict.fromkeys(("idempotency_key", "description", "reference", "effective_at", "metadata", "other"), JSON),
)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_request_or_an_error_of_ours(content: bytes) -> None:
    with suppress(LedgerError):
        read(content)


@given(JSON | NEARLY)
def test_any_json_is_a_request_or_an_error_of_ours(value: Any) -> None:
    with suppress(LedgerError):
        assert isinstance(read(json.dumps(value)), Request)
