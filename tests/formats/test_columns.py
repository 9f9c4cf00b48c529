"""Which column fills which field."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerctl.errors import BadFile, BadUsage
from ledgerctl.formats.columns import EmptyColumn, assignments, cell

HEADER = ["bank", "account", "100%", "from"]
ROW = ["YZ", "874", "1/2", "cash"]
FIELDS = ("from", "to", "idempotency_key")


def value(name: str, columns: dict[str, str] | None = None, constants: dict[str, str] | None = None) -> str | None:
    found = cell("given.csv", HEADER, name, columns or {}, constants or {})
    assert found is not None
    return found(ROW)


def test_a_field_is_read_from_the_column_of_its_name() -> None:
    assert value("from") == "cash"


def test_a_field_that_nothing_fills_is_none() -> None:
    assert cell("given.csv", HEADER, "reference", {}, {}) is None


@pytest.mark.parametrize(
    ("mapped", "found"),
    [
        ("bank", "YZ"),
        ("100%", "1/2"),
        ("{bank}", "YZ"),
        ("bank:{bank}:{account}", "bank:YZ:874"),
        ("{bank}{account}", "YZ874"),
        ("100%s {bank} %d %%", "100%s YZ %d %%"),
        ("{100%}", "1/2"),
        ("{{{bank}}}", "{{YZ}}"),
        ("}{{bank}", "}{YZ"),
    ],
)
def test_a_mapping_is_a_column_or_a_template(mapped: str, found: str) -> None:
    assert value("to", {"to": mapped}) == found


@given(st.text(), st.text())
def test_any_text_around_a_template_is_kept(before: str, after: str) -> None:
    if "{" in before or "}" in after:
        return
    assert value("to", {"to": before + "{bank}" + after}) == before + "YZ" + after


def test_a_constant_is_every_rows_value() -> None:
    assert value("currency", constants={"currency": "CZK"}) == "CZK"
    assert value("from", constants={"from": "{bank} %s"}) == "{bank} %s"


def test_a_mapping_wins_over_the_column_of_its_own_name() -> None:
    assert value("from", {"from": "account"}) == "874"


@pytest.mark.parametrize("mapped", ["nosuch", "{nosuch}", "{}", "", "x:{bank}:{nosuch}"])
def test_a_mapping_to_no_column_names_those_there_are(mapped: str) -> None:
    with pytest.raises(BadFile) as caught:
        value("to", {"to": mapped})

    assert "for the field 'to'" in str(caught.value)
    assert "its columns are: bank, account, 100%, from" in caught.value.advice


def test_an_empty_cell_is_none_and_an_empty_part_of_a_template_is_an_error() -> None:
    plain, built = (cell("given.csv", HEADER, "to", {"to": mapped}, {}) for mapped in ("account", "b:{bank}:{account}"))

    assert plain is not None
    assert plain(["YZ", "", "", ""]) is None
    assert built is not None
    with pytest.raises(EmptyColumn, match="account"):
        built(["YZ", "", "", ""])


def test_assignments_are_split_at_the_first_equals_sign() -> None:
    given_ = assignments(["to=a=b", "from="], FIELDS, {}, "--set")
    assert given_ == {"to": "a=b", "from": ""}


def test_a_field_may_have_a_short_name() -> None:
    assert assignments(["key=id"], FIELDS, {"key": "idempotency_key"}, "--map") == {"idempotency_key": "id"}


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["to"], "--map takes FIELD=VALUE, not 'to'"),
        (["=x"], "--map knows no field ''; there are: from, to, idempotency_key"),
        (["nosuch=x"], "--map knows no field 'nosuch'; there are: from, to, idempotency_key"),
        (["to=a", "to=b"], "--map is given twice for 'to'"),
        (["key=a", "idempotency_key=b"], "--map is given twice for 'idempotency_key'"),
    ],
)
def test_a_wrong_assignment_is_refused(texts: list[str], words: str) -> None:
    with pytest.raises(BadUsage) as caught:
        assignments(texts, FIELDS, {"key": "idempotency_key"}, "--map")
    assert str(caught.value) == words
