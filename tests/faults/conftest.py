"""A durable server for the fault runs of a worker, and the tier that was asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults import campaign
from tests.faults.servers import Server


@pytest.fixture(scope="session")
def fault_server() -> Iterator[Server]:
    with campaign.server() as server:
        yield server


@pytest.fixture(scope="session")
def tier(request: pytest.FixtureRequest) -> str:
    if request.config.getoption("--release"):
        return "release"
    return "nightly" if request.config.getoption("--nightly") else "ci"
