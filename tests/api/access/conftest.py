"""The API over this test's ledger, without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from ledgerctl.api.app import create
from ledgerctl.config import Configuration, load
from tests.api.access import keyring

Open = Callable[..., TestClient]


@pytest.fixture
def configuration(conninfo: str, tmp_path: Path) -> Callable[..., Configuration]:
    """Settings of [api] with published keys, others where given."""

    def made(**api: Any) -> Configuration:
        file = keyring.publish(tmp_path / "jwks.json", *map(keyring.jwk, keyring.ASYMMETRIC))
        of_api = {"issuer": keyring.ISSUER, "audience": keyring.AUDIENCE, "jwks": str(file), **api}
        return load(flags={"database": {"url": conninfo}, "api": of_api})

    return made


@pytest.fixture
def open_api(configuration: Callable[..., Configuration]) -> Iterator[Open]:
    """A client of the API, with settings of [api] where given. A bug is answered, as it is by a real server."""
    with ExitStack() as stack:

        def opened(**api: Any) -> TestClient:
            app = create(configuration(**api), "tests")
            return stack.enter_context(TestClient(app, raise_server_exceptions=False))

        yield opened


@pytest.fixture
def api(open_api: Open) -> TestClient:
    return open_api()


def bearer(**changed: Any) -> dict[str, str]:
    """The header of who may do what the claims say."""
    return {"Authorization": f"Bearer {keyring.signed(**changed)}"}
