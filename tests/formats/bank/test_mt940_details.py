"""What field :86: says, in the ways in which banks write it."""

from __future__ import annotations

import pytest

from ledgerctl.formats.bank.mt940_details import Details, read


def told(*lines: str) -> Details:
    """With single spaces, as a line of a statement has it."""
    found = read(lines)
    references = tuple(" ".join(one.split()) for one in found.references)
    return Details(references, found.counterparty, " ".join(found.description.split()))


def test_numbered_subfields_are_told_apart_wherever_the_lines_break() -> None:
    assert told("166?00GUTSCHRIFT?20EREF+E2E-7?2", "1SVWZ+Rent?30TESTXX00?32Jane ?33Made-Up") == Details(
        ("E2E-7",), "Jane Made-Up", "Rent"
    )


def test_a_reference_that_fills_its_subfield_goes_on_in_the_next_and_one_that_does_not_is_over() -> None:
    assert told("166?20EREF+EndToEndId-22-characte?2100001?22SVWZ+Rent").references == ("EndToEndId-22-characte00001",)
    assert told("159?20EREF+SHORT?21MTLG:Reason not give?22n") == Details(("SHORT",), "", "MTLG:Reason not give n")


def test_several_keys_may_stand_in_one_subfield() -> None:
    found = told("105?20EREF+E-1 KREF+K-1 MREF+M-1 ?21CRED+C-1 SVWZ+Dues?22for May?32Club")

    assert found == Details(("E-1", "K-1"), "Club", "Dues for May")


def test_purposes_without_keys_are_text_and_the_sixties_go_on_with_it() -> None:
    assert told("051?00CREDIT?20Rent for?21the flat?6070 and more").description == "Rent for the flat 70 and more"


def test_a_line_without_a_purpose_is_called_by_its_kind() -> None:
    assert told("079?00SAMMLER?109800?34914").description == "SAMMLER"


def test_a_mark_without_a_number_is_text() -> None:
    assert told("105?20Why? Because?").description == "Why? Because?"


def test_subfields_may_have_another_mark() -> None:
    assert told("000>100987654321", ">20 RENT>21 OFFICE").description == "RENT OFFICE"


@pytest.mark.parametrize(
    ("text", "details"),
    [
        ("/EREF/E-1/BENM//NAME/CONTRA HOLDER/REMI//ISDT/2026-07-11", Details(("E-1",), "CONTRA HOLDER", "")),
        ("/BENM//NAME/JANE MADE-UP/REMI/Reference 7/ISDT/2026-01-02", Details((), "JANE MADE-UP", "Reference 7")),
        ("/TRTP/SEPA/IBAN/XX00TEST/BIC/TESTXX00/NAME/Shop/REMI/Rent/EREF/E-2", Details(("E-2",), "Shop", "Rent")),
        ("/CNTP/XX00TEST/TESTXX00/Jane Made-Up/TOWN//REMI/USTD//Rent/", Details((), "Jane Made-Up", "Rent")),
        ("/RTRN/MS03/REMI/a/b/", Details((), "", "a/b")),
    ],
)
def test_named_subfields_are_told_apart(text: str, details: Details) -> None:
    assert told(text) == details


def test_free_text_is_joined_with_a_space_unless_its_line_is_full() -> None:
    full = "x" * 60 + "y"

    assert told("Rent", "of May").description == "Rent of May"
    assert told(full, "es").description == f"{full}es"
    assert told("Rent", "z" * 65, "zz").description == "Rent " + "z" * 67


@pytest.mark.parametrize("text", ["", "?", "123?", "123?20", "/", "/EREF", "/EREF/", "///", "+", "166?20+?21EREF+"])
def test_text_is_never_an_error(text: str) -> None:
    assert not any(read([text]).references)
    assert read([]) == Details()
