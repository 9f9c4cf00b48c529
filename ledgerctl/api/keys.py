"""The keys that tokens may be signed with: public ones from a JWKS (RFC 7517), or one secret."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple
from urllib.request import HTTPRedirectHandler, Request, build_opener

import jwt

from ledgerctl import logs
from ledgerctl.errors import BadConfig

ALGORITHMS = {"EdDSA": ("OKP", "Ed25519"), "ES256": ("EC", "P-256"), "RS256": ("RSA", None)}
"""Of public keys, and the kind and the curve of the key that each needs."""
SECRET_LEAST = 32
RSA_LEAST_BITS = 2048
REFRESH_S = 300
"""A JWKS is read again when it is so old, or when a token names a key that is not in it."""
AGAIN_S = 10
"""Not more often than that: tokens with invented keys must not make us ask without end."""
FETCH_S = 3
SIZE_MAX = 1 << 20


class Key(NamedTuple):
    algorithm: str
    key: Any


def private(file: Path, setting: str) -> bytes:
    """What stands in a file that nobody else may read. BadConfig."""
    try:
        content = file.read_bytes()
        mode = file.stat().st_mode
    except OSError as error:
        raise BadConfig(detail=f"{setting}: {file}: {error.strerror}") from None
    if mode & 0o077:
        raise BadConfig(detail=f"{setting}: {file} can be read by others", hint=f"chmod 600 {file}")
    return content


class Secret:
    """One HS256 secret (RFC 7518: no shorter than its hash), of which tokens name no key."""

    def __init__(self, file: Path) -> None:
        secret = private(file, "api.secret_file").strip()
        if len(secret) < SECRET_LEAST:
            raise BadConfig(detail=f"api.secret_file must hold {SECRET_LEAST} bytes or more")
        if b"-----BEGIN " in secret or secret.startswith(b"ssh-"):
            raise BadConfig(detail="api.secret_file holds a key or a certificate, which others may know")
        self._key = Key("HS256", secret)

    def find(self, name: str | None) -> Key | None:
        return self._key if name is None else None


class Published:
    """Keys by their names, from a file or a URL. Each has one algorithm, whatever a token says."""

    def __init__(self, source: str) -> None:
        """BadConfig when there are none, or wrong ones."""
        self._source = source
        self._reading = Lock()
        self._keys = _read(source)
        self._read_at = time.monotonic()

    def find(self, name: str | None) -> Key | None:
        if name is None:
            return None
        age_s = time.monotonic() - self._read_at
        due = age_s > REFRESH_S or (name not in self._keys and age_s > AGAIN_S)
        # One reads, the others go on with what is known: a source that is slow must not hold them all up.
        if due and self._reading.acquire(blocking=False):
            try:
                self._read_at = time.monotonic()
                self._keys = _read(self._source)
            except BadConfig as error:  # the keys that are known stay
                logs.event("keys not read", level=40, detail=str(error))
            finally:
                self._reading.release()
        return self._keys.get(name)


def _read(source: str) -> dict[str, Key]:
    content = _content(source)
    keys: dict[str, Key] = {}
    try:
        for key in json.loads(content)["keys"]:
            if key.get("use", "sig") != "sig":
                continue
            if key["kid"] in keys:
                raise BadConfig(detail=f"api.jwks: there are two keys '{key['kid']}'")
            keys[key["kid"]] = _key(key)
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError, jwt.PyJWTError) as error:
        # Only what kind of error: its words may hold the key.
        raise BadConfig(detail=f"api.jwks is not a set of keys that have a kid ({type(error).__name__})") from None
    if not keys:
        raise BadConfig(detail="api.jwks holds no key")
    return keys


def _key(key: Mapping[str, Any]) -> Key:
    name = key["kid"]
    if "d" in key or "k" in key:
        raise BadConfig(detail=f"api.jwks: key '{name}' is a private one")
    named = jwt.PyJWK(dict(key))
    algorithm = named.algorithm_name
    if ALGORITHMS.get(algorithm) != (key["kty"], key.get("crv")):
        raise BadConfig(detail=f"api.jwks: key '{name}' must be for {', '.join(ALGORITHMS)}")
    if algorithm == "RS256" and named.key.key_size < RSA_LEAST_BITS:
        raise BadConfig(detail=f"api.jwks: key '{name}' is shorter than {RSA_LEAST_BITS} bits")
    return Key(algorithm, named.key)


def _content(source: str) -> bytes:
    try:
        if "://" not in source:
            return Path(source).read_bytes()
        if not source.startswith("https://"):
            raise BadConfig(detail="api.jwks must be a file or an https URL")
        return _fetched(Request(source))  # noqa: S310 - https, by configuration
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
        raise BadConfig(detail=f"api.jwks: {type(error).__name__}: {why}") from None


def _fetched(request: Request) -> bytes:
    with build_opener(_Here).open(request, timeout=FETCH_S) as answer:
        content: bytes = answer.read(SIZE_MAX + 1)
    if len(content) > SIZE_MAX:
        raise ValueError(f"more than {SIZE_MAX} bytes")
    return content


class _Here(HTTPRedirectHandler):
    """Follows nobody elsewhere: it may be to where there is no TLS."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None
