"""Texts that the books may keep."""

from __future__ import annotations

import pytest

from ledgerctl import errors
from ledgerctl.core import texts


def test_names_of_metadata_that_become_one_are_refused() -> None:
    with pytest.raises(errors.BadText, match="the same"):
        texts.checked_metadata({"é": "1", "e\u0301": "2"})
