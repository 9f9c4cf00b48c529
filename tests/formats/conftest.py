"""Inputs of bytes that are closed when the test is over."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest

from ledgerctl.formats.records import Input


@pytest.fixture
def given() -> Iterator[Callable[[bytes | str], Input]]:
    """An input called `given.csv` of these bytes."""
    opened: list[Input] = []

    def give(content: bytes | str) -> Input:
        data = content.encode() if isinstance(content, str) else content
        opened.append(Input("given.csv", io.BytesIO(data)))
        return opened[-1]

    yield give
    for source in opened:
        source.stream.close()
