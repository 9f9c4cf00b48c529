"""The numbers of the exit codes, once; everything else asserts their names."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Callable

import pytest

from ledgerctl import errors
from ledgerctl.cli import app, topics
from ledgerctl.errors import Exit, LedgerError
from tests.conftest import Run


def test_the_numbers_are_an_interface() -> None:
    assert {code.name: int(code) for code in Exit} == {
        "DONE": 0,
        "BUG": 1,
        "USAGE": 2,
        "REFUSED": 3,
        "NOT_FOUND": 4,
        "CONFLICT": 5,
        "DIFFERENCES": 6,
        "UNAVAILABLE": 69,
        "TRY_AGAIN": 75,
        "OUTCOME_UNKNOWN": 76,
        "NO_PERMISSION": 77,
        "BAD_CONFIG": 78,
        "INTERRUPTED": 130,
        "READER_GONE": 141,
        "TERMINATED": 143,
    }


def kinds(kind: type[LedgerError] = LedgerError) -> list[type[LedgerError]]:
    return [found for child in kind.__subclasses__() for found in (child, *kinds(child))]


CONCRETE = [kind for kind in kinds() if kind is not errors.Refusal and kind.__module__.startswith("ledgerctl.")]


def test_every_error_has_a_code_of_its_own() -> None:
    assert app  # its import brings the errors of the command files along
    assert [code for code, count in Counter(kind.code for kind in CONCRETE).items() if count > 1] == []
    assert errors.LedgerError.code not in {kind.code for kind in CONCRETE}


@pytest.mark.parametrize("kind", CONCRETE, ids=lambda kind: kind.code)
def test_an_error_has_an_exit_code_and_words_that_format(kind: type[LedgerError]) -> None:
    names = {name for text in (kind.message, kind.hint) for _, name, _, _ in string.Formatter().parse(text) if name}
    details = {name: f"<{name}>" for name in names}

    error = kind(**details)

    assert kind.exit_code in set(Exit) - {Exit.DONE}
    assert str(error)
    assert "{" not in str(error) + error.advice
    assert error.as_json() == {
        "error": {
            "code": kind.code,
            "message": str(error),
            "hint": error.advice,
            "details": details,
            "exit_code": int(kind.exit_code),
        }
    }


@pytest.mark.parametrize("kind", [kind for kind in CONCRETE if not kind.hint], ids=lambda kind: kind.code)
def test_an_error_without_a_hint_of_its_own_is_one_of_a_few(kind: type[LedgerError]) -> None:
    assert kind.code in {
        "BAD_TEXT", "TOO_FEW_LEGS", "AMOUNT_TOO_LARGE", "CURRENCY_EXISTS", "PERMISSION_DENIED", "EMBEDDED_FAILED",
        "DEMO_FAILED",
    }  # fmt: skip


def test_every_refusal_of_the_decision_is_an_error() -> None:
    from ledgerctl.core.decision import Reason

    for reason in Reason:
        assert issubclass(errors.by_code(reason), errors.Refusal)


def test_the_topic_lists_every_exit_code(run: Callable[..., Run]) -> None:
    listed = run("help", "exit-codes")

    assert listed.code == Exit.DONE
    assert [int(line.split()[0]) for line in listed.out.splitlines()] == sorted(Exit)
    assert set(topics._MEANINGS) == set(Exit)
