"""Where keys come from: a secret in a file, a JWKS in a file or behind an https URL, and keys that change."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa

from ledgerctl.api import keys
from ledgerctl.api.keys import AGAIN_S, REFRESH_S, Published, Secret
from ledgerctl.errors import BadConfig
from tests.api.access import keyring
from tests.api.access.keyring import as_jwk, jwk, publish, secret_file

# -- the secret ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"x" * 32, b"x" * 32 + b"\r", bytes(range(128, 192))])
def test_a_secret_of_32_bytes_or_more_is_for_tokens_that_name_no_key(tmp_path: Path, content: bytes) -> None:
    secret = Secret(secret_file(tmp_path, content))

    assert secret.find(None) == ("HS256", content.strip())
    assert secret.find("") is secret.find("HS256") is None


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 31 + b" " * 9, b"\n" * 64])
def test_a_secret_that_is_too_short_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BadConfig, match="must hold 32 bytes or more"):
        Secret(secret_file(tmp_path, content))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o620, 0o601])
def test_a_secret_that_others_can_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    file = secret_file(tmp_path)
    file.chmod(mode)

    with pytest.raises(BadConfig, match="can be read by others") as caught:
        Secret(file)

    assert caught.value.advice == f"chmod 600 {file}"


def test_a_secret_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for place, why in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(BadConfig, match=why):
            Secret(place)


def test_a_public_key_is_no_secret(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="which others may know"):
        Secret(secret_file(tmp_path, keyring.pem("EdDSA")))


# -- a JWKS in a file ------------------------------------------------------------------------------------------------


def test_each_key_has_one_algorithm(tmp_path: Path) -> None:
    published = Published(str(publish(tmp_path / "jwks", *map(jwk, keyring.ASYMMETRIC))))

    assert {name: found.algorithm for name in keyring.ASYMMETRIC if (found := published.find(name))} == {
        name: name for name in keyring.ASYMMETRIC
    }
    assert published.find(None) is published.find("other") is None


def test_a_key_that_says_no_algorithm_has_that_of_its_kind(tmp_path: Path) -> None:
    bare = [
        {name: value for name, value in jwk(one).items() if name not in ("alg", "use")} for one in ("ES256", "RS256")
    ]
    published = Published(str(publish(tmp_path / "jwks", *bare)))

    assert [published.find(name) is not None for name in ("ES256", "RS256")] == [True, True]


def test_keys_for_encryption_are_left_out(tmp_path: Path) -> None:
    other = {**jwk("RS256"), "use": "enc", "alg": "RSA-OAEP"}
    published = Published(str(publish(tmp_path / "jwks", jwk("EdDSA"), other)))

    assert published.find("RS256") is None
    with pytest.raises(BadConfig, match="holds no key"):
        Published(str(publish(tmp_path / "jwks", other)))


def _without(key: dict[str, Any], name: str) -> dict[str, Any]:
    return {field: value for field, value in key.items() if field != name}


WRONG: dict[str, tuple[list[Any], str]] = {
    "a private key": ([jwk("EdDSA", secret=True)], "is a private one"),
    "a private key of RSA": ([jwk("RS256", secret=True)], "is a private one"),
    "a private key for something else": ([{**jwk("EdDSA", secret=True), "alg": "other"}], "is a private one"),
    "a secret": ([{"kty": "oct", "k": "c2VjcmV0" * 8, "kid": "a", "alg": "HS256"}], "is a private one"),
    "a short RSA key": (
        [as_jwk(rsa.generate_private_key(65537, 1024).public_key(), "a")], "shorter than 2048 bits",
    ),
    "another curve": ([as_jwk(ec.generate_private_key(ec.SECP384R1()).public_key(), "a")], "must be for"),
    "another curve as ES256": (
        [as_jwk(ec.generate_private_key(ec.SECP384R1()).public_key(), "a", alg="ES256")], "must be for",
    ),
    "Ed448": ([as_jwk(ed448.Ed448PrivateKey.generate().public_key(), "a", alg="EdDSA")], "must be for"),
    "PS256": ([{**jwk("RS256"), "alg": "PS256"}], "must be for"),
    "an algorithm of another kind": ([{**jwk("RS256"), "alg": "HS256"}], "api.jwks"),
    "alg none": ([{**jwk("RS256"), "alg": "none"}], "api.jwks"),
    "no kid": ([_without(jwk("EdDSA"), "kid")], "KeyError"),
    "two of one name": ([jwk("EdDSA"), {**jwk("ES256"), "kid": "EdDSA"}], "two keys 'EdDSA'"),
    "no kty": ([_without(jwk("EdDSA"), "kty")], "api.jwks"),
    "no point of the curve": ([{**jwk("ES256"), "x": "AAAA"}], "api.jwks"),
    "no key at all": ([], "holds no key"),
    "a key that is a text": (["EdDSA"], "AttributeError"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_key_is_refused_and_not_shown(tmp_path: Path, name: str) -> None:
    wrong, words = WRONG[name]

    with pytest.raises(BadConfig, match=words) as caught:
        Published(str(publish(tmp_path / "jwks", *wrong)))

    values = [key[part] for key in wrong if isinstance(key, dict) for part in ("d", "k", "x", "n") if part in key]
    assert not [value for value in values if value in str(caught.value)]


@pytest.mark.parametrize("text", ["", "keys", "[]", "null", "{}", '{"keys": 1}', '{"keys": {"a": 1}}', "[" * 99_999])
def test_what_is_no_set_of_keys_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "jwks"
    file.write_text(text)

    with pytest.raises(BadConfig, match="not a set of keys"):
        Published(str(file))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="No such file"):
        Published(str(tmp_path / "none"))


# -- keys that change ------------------------------------------------------------------------------------------------


class Clock:
    """Stands still until it is moved."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(keys, "time", made)
    return made


def test_an_unknown_key_is_looked_for_again_but_not_too_often(tmp_path: Path, clock: Clock) -> None:
    file = publish(tmp_path / "jwks", jwk("EdDSA"))
    published = Published(str(file))
    publish(file, jwk("EdDSA"), jwk("EdDSA", "-2"))

    clock.now += AGAIN_S - 1
    assert published.find("EdDSA-2") is None
    clock.now += 2
    assert published.find("EdDSA-2") is not None

    publish(file, jwk("EdDSA"), jwk("EdDSA", "-2"), jwk("EdDSA", "-3"))
    assert published.find("invented") is None  # it has just been read
    assert published.find("EdDSA-3") is None
    clock.now += AGAIN_S + 1
    assert published.find("EdDSA-3") is not None


def test_a_key_taken_away_is_good_until_the_set_is_read_again(tmp_path: Path, clock: Clock) -> None:
    file = publish(tmp_path / "jwks", jwk("EdDSA"), jwk("ES256"))
    published = Published(str(file))
    publish(file, jwk("EdDSA"))

    clock.now += REFRESH_S - 1
    assert published.find("ES256") is not None
    clock.now += 2
    assert published.find("ES256") is None
    assert published.find("EdDSA") is not None


@pytest.mark.parametrize("text", [None, "", '{"keys": []}', "null"])
def test_a_source_that_goes_away_or_wrong_leaves_the_keys_that_are_known(
    tmp_path: Path, clock: Clock, text: str | None
) -> None:
    file = publish(tmp_path / "jwks", jwk("EdDSA"))
    published = Published(str(file))
    if text is None:
        file.unlink()
    else:
        file.write_text(text)

    clock.now += REFRESH_S + 1
    assert published.find("EdDSA") is not None
    publish(file, jwk("EdDSA", "-2"))
    assert published.find("EdDSA-2") is None  # not more often, where it fails either
    clock.now += AGAIN_S + 1
    assert published.find("EdDSA-2") is not None
    assert published.find("EdDSA") is None


# -- by https --------------------------------------------------------------------------------------------------------


class Issuer(ThreadingHTTPServer):
    """Publishes keys on this machine by TLS, with a certificate that only this test trusts."""

    daemon_threads = True
    content = b""
    location = ""
    asked = 0
    held: threading.Event | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_port}/jwks.json"

    def publish(self, *published: dict[str, Any]) -> None:
        self.content = json.dumps({"keys": published}).encode()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever does not trust us hangs up."""


class _Answers(BaseHTTPRequestHandler):
    server: Issuer

    def do_GET(self) -> None:
        self.server.asked += 1
        if self.server.held is not None:
            self.server.held.wait(30)
        moved = self.server.location
        self.send_response(302 if moved else 200)
        if moved:
            self.send_header("Location", moved)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file."""
    return keyring.certificate(tmp_path_factory.mktemp("tls") / "both.pem")


@pytest.fixture
def issuer(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Issuer(("127.0.0.1", 0), _Answers) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.publish(jwk("EdDSA"))
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_keys_are_fetched_by_https_and_again_when_they_are_new(issuer: Issuer, clock: Clock) -> None:
    published = Published(issuer.url)
    issuer.publish(jwk("EdDSA"), jwk("ES256"))

    assert [published.find(name) is not None for name in ("EdDSA", "ES256")] == [True, False]
    clock.now += AGAIN_S + 1
    assert [published.find(name) is not None for name in ("EdDSA", "ES256")] == [True, True]
    for number in range(50):
        assert published.find(f"invented-{number}") is None
    assert issuer.asked == 2


def test_an_issuer_that_goes_away_leaves_the_keys_that_are_known(issuer: Issuer, clock: Clock) -> None:
    published = Published(issuer.url)
    issuer.shutdown()
    issuer.server_close()

    for _ in range(3):
        clock.now += REFRESH_S + 1
        assert published.find("EdDSA") is not None


def test_nobody_waits_for_an_issuer_that_is_slow_but_the_one_who_asks(issuer: Issuer, clock: Clock) -> None:
    published = Published(issuer.url)
    issuer.held = threading.Event()
    clock.now += AGAIN_S + 1
    waiting = threading.Thread(target=published.find, args=("EdDSA-2",))
    waiting.start()
    while issuer.asked < 2:
        pass

    clock.now += AGAIN_S + 1
    assert published.find("EdDSA") is not None
    assert published.find("EdDSA-2") is None
    assert waiting.is_alive()

    issuer.publish(jwk("EdDSA"), jwk("EdDSA", "-2"))
    issuer.held.set()
    waiting.join()
    assert published.find("EdDSA-2") is not None
    assert issuer.asked == 2


def test_an_issuer_whom_nobody_vouches_for_is_refused(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")

    with pytest.raises(BadConfig, match="CERTIFICATE_VERIFY_FAILED"):
        Published(issuer.url)
    assert issuer.asked == 0


def test_an_issuer_by_another_name_than_the_certificate_s_is_refused(issuer: Issuer) -> None:
    with pytest.raises(BadConfig, match="CERTIFICATE_VERIFY_FAILED"):
        Published(issuer.url.replace("127.0.0.1", "localhost"))


@pytest.mark.parametrize("elsewhere", ["http://127.0.0.1:1/", "file:///etc/passwd", "https://127.0.0.1:{}/other"])
def test_nobody_is_sent_elsewhere(issuer: Issuer, elsewhere: str) -> None:
    issuer.location = elsewhere.format(issuer.server_port)

    with pytest.raises(BadConfig, match="HTTPError"):
        Published(issuer.url)
    assert issuer.asked == 1


def test_an_answer_that_has_no_end_is_refused(issuer: Issuer) -> None:
    issuer.content = b" " * (keys.SIZE_MAX + 1)

    with pytest.raises(BadConfig, match="more than"):
        Published(issuer.url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/jwks", "HTTP://127.0.0.1/jwks", "file:///etc/passwd", "ftp://issuer.test/", "data://x"]
)
def test_keys_come_by_https_only(url: str) -> None:
    with pytest.raises(BadConfig, match="a file or an https URL"):
        Published(url)
