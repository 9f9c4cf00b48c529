"""ledgerctl token issue: tokens that the API takes, and nothing secret beside them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest

from ledgerctl.api.app import create
from ledgerctl.api.asking import Service
from ledgerctl.api.keys import Published, Secret
from ledgerctl.api.tokens import SCOPES, Caller, Guard
from ledgerctl.config import load
from ledgerctl.errors import Exit
from tests.api.access import keyring
from tests.conftest import Run

Command = Callable[..., Run]
ISSUE = ("token", "issue", "shop", "--scope", "read")


@pytest.fixture
def issue(run: Command, directory: Path) -> Command:
    """The command with an issuer and a secret; None takes a variable away."""
    given = {"LEDGERCTL_API_ISSUER": keyring.ISSUER, "LEDGERCTL_API_SECRET_FILE": "secret"}
    keyring.secret_file(directory)

    def invoke(*args: str, **environment: Any) -> Run:
        return run(*(args or ISSUE), **{**given, **environment})

    return invoke


@pytest.fixture
def private_key(directory: Path) -> Callable[..., Path]:
    """A file with a private key as JWK, readable by nobody else."""

    def written(document: Any) -> Path:
        file = directory / "private.json"
        file.write_text(document if isinstance(document, str) else json.dumps(document))
        file.chmod(0o600)
        return file

    return written


def by_secret(directory: Path) -> Guard:
    return Guard(Secret(directory / "secret"), keyring.ISSUER, keyring.AUDIENCE)


def by_keys(directory: Path) -> Guard:
    file = keyring.publish(directory / "jwks.json", *map(keyring.jwk, keyring.ASYMMETRIC))
    return Guard(Published(str(file)), keyring.ISSUER, keyring.AUDIENCE)


def claims_of(token: str) -> dict[str, Any]:
    return jwt.decode(token.strip(), options={"verify_signature": False})


def test_a_token_by_the_secret_is_good(issue: Command, directory: Path, ledger: str) -> None:
    done = issue("token", "issue", "the shop", "--scope", "read", "--scope", "transfers:write", "--scope", "read")

    assert (done.code, done.err) == (Exit.DONE, "")
    assert by_secret(directory).caller(f"Bearer {done.out.strip()}") == Caller(
        "the shop", ledger, frozenset({"read", "transfers:write"})
    )
    assert claims_of(done.out)["scope"] == "read transfers:write"


@pytest.mark.parametrize("algorithm", keyring.ASYMMETRIC)
def test_a_token_by_a_private_key_is_good(
    issue: Command, directory: Path, private_key: Callable[..., Path], algorithm: str
) -> None:
    file = private_key(keyring.jwk(algorithm, secret=True))

    done = issue(*ISSUE, "--key", str(file), LEDGERCTL_API_SECRET_FILE=None)

    assert (done.code, done.err) == (Exit.DONE, "")
    assert by_keys(directory).caller(f"Bearer {done.out.strip()}").scopes == {"read"}


def test_a_token_is_good_for_the_application_of_the_same_configuration(
    issue: Command, directory: Path, conninfo: str
) -> None:
    """Wherever the command runs: the secret is beside the file that names it."""
    place = directory / "etc"
    place.mkdir()
    keyring.secret_file(place, b"another secret, also of 32 bytes or more")
    file = place / "ledgerctl.toml"
    file.write_text(f'[api]\nissuer = "{keyring.ISSUER}"\nsecret_file = "secret"\n[database]\nurl = "{conninfo}"\n')

    done = issue("--config", str(file), *ISSUE, LEDGERCTL_API_SECRET_FILE=None)
    app = create(load(file), "tests")
    service: Service = app.state.service

    assert service.guard.caller(f"Bearer {done.out.strip()}").subject == "shop"


@pytest.mark.parametrize("scope", SCOPES)
def test_each_scope_is_given(issue: Command, directory: Path, scope: str) -> None:
    done = issue("token", "issue", "shop", "--scope", scope)

    assert by_secret(directory).caller(f"Bearer {done.out.strip()}").scopes == {scope}


@pytest.mark.parametrize(("given", "seconds"), [([], 900), (["--minutes", "1"], 60), (["--minutes", "15"], 900)])
def test_a_token_lives_for_as_long_as_is_said(issue: Command, given: list[str], seconds: int) -> None:
    before = int(time.time())
    found = claims_of(issue(*ISSUE, *given).out)

    assert found["exp"] - found["iat"] == seconds
    assert before <= found["iat"] <= time.time()


@pytest.mark.parametrize("minutes", ["0", "16", "-1", "1.5", "soon"])
def test_no_token_lives_longer_than_the_api_lets_it(issue: Command, minutes: str) -> None:
    assert issue(*ISSUE, "--minutes", minutes).code == Exit.USAGE


def test_no_two_tokens_are_the_same(issue: Command) -> None:
    assert len({claims_of(issue(*ISSUE).out)["jti"] for _ in range(3)}) == 3


def test_it_is_for_the_ledger_and_the_audience_of_the_configuration(issue: Command) -> None:
    done = issue("--ledger", "other", *ISSUE, LEDGERCTL_API_AUDIENCE="books")

    assert {"ledger": "other", "aud": "books", "iss": keyring.ISSUER}.items() <= claims_of(done.out).items()


def test_as_json(issue: Command, directory: Path) -> None:
    done = issue("-o", "json", *ISSUE)

    [(name, token)] = json.loads(done.out).items()
    assert name == "token"
    assert by_secret(directory).caller(f"Bearer {token}").subject == "shop"


def test_no_database_is_needed(issue: Command) -> None:
    assert issue(LEDGERCTL_DATABASE_URL=None).code == Exit.DONE


# -- what is refused -------------------------------------------------------------------------------------------------


def refused(done: Run, code: Exit, words: str) -> bool:
    assert done.out == ""
    assert words in done.err
    return done.code == code


@pytest.mark.parametrize("scope", ["admin", "", "read transfers:write", "READ", "*"])
def test_an_unknown_scope_is_refused(issue: Command, scope: str) -> None:
    assert refused(issue("token", "issue", "shop", "--scope", scope), Exit.USAGE, "there is no scope")


def test_without_a_scope_there_is_no_token(issue: Command) -> None:
    assert refused(issue("token", "issue", "shop"), Exit.USAGE, "--scope")


@pytest.mark.parametrize("subject", ["", " ", "sh\x1bop", "shop\n", "s" * 200, "Käufer"])
def test_a_subject_that_the_api_would_not_take_is_refused(issue: Command, subject: str) -> None:
    assert refused(issue("token", "issue", subject, "--scope", "read"), Exit.USAGE, "1 to 199 characters")


def test_without_an_issuer_there_is_no_token(issue: Command) -> None:
    assert refused(issue(LEDGERCTL_API_ISSUER=None), Exit.BAD_CONFIG, "issuer is not set")


def test_without_a_secret_or_a_key_there_is_no_token(issue: Command) -> None:
    assert refused(issue(LEDGERCTL_API_SECRET_FILE=None), Exit.BAD_CONFIG, "give --key")
    assert refused(issue(LEDGERCTL_API_SECRET_FILE="none"), Exit.BAD_CONFIG, "No such file")
    assert refused(issue(*ISSUE, "--key", "none"), Exit.BAD_CONFIG, "No such file")


def test_a_key_that_others_can_read_is_refused(issue: Command, private_key: Callable[..., Path]) -> None:
    file = private_key(keyring.jwk("EdDSA", secret=True))
    file.chmod(0o644)

    assert refused(issue(*ISSUE, "--key", str(file)), Exit.BAD_CONFIG, f"chmod 600 {file}")


def _wrong() -> dict[str, Any]:
    whole = keyring.jwk("EdDSA", secret=True)
    return {
        "a public key": keyring.jwk("EdDSA"),
        "a key without kid": {name: value for name, value in whole.items() if name != "kid"},
        "a key whose kid is a number": {**whole, "kid": 1},
        "a key without kty": {name: value for name, value in whole.items() if name != "kty"},
        "a key for an unknown algorithm": {**whole, "alg": "other"},
        "a key for another algorithm": {**keyring.jwk("RS256", secret=True), "alg": "PS256"},
        "a key for none": {**whole, "alg": "none"},
        "a secret": {"kty": "oct", "k": "c2VjcmV0" * 8, "kid": "a", "alg": "HS256"},
        "half a key": json.dumps(whole)[:-20],
        "a key cut short": {**whole, "d": whole["d"][:-4]},
        "a set of keys": {"keys": [whole]},
        "a list": [whole],
        "nothing": "",
    }


@pytest.mark.parametrize("name", _wrong())
def test_a_wrong_key_is_refused_and_nothing_of_it_shown(
    issue: Command, private_key: Callable[..., Path], name: str
) -> None:
    wrong = _wrong()[name]

    done = issue("--debug", *ISSUE, "--key", str(private_key(wrong)))

    assert refused(done, Exit.BAD_CONFIG, "private.json")
    secrets = [keyring.jwk("EdDSA", secret=True)["d"][:20], keyring.jwk("RS256", secret=True)["d"][:20], "c2VjcmV0"]
    assert not [secret for secret in secrets if secret in done.err]


def test_a_wrong_secret_is_refused_and_nothing_of_it_shown(issue: Command, directory: Path) -> None:
    keyring.secret_file(directory, b"hunter2")

    done = issue()

    assert refused(done, Exit.BAD_CONFIG, "32 bytes or more")
    assert "hunter2" not in done.err
