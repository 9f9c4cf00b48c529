"""Bearer tokens: who asks, for which ledger, and what he may do. RFC 8725 says what must be checked."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

import jwt

from ledgerctl.api.keys import Key
from ledgerctl.api.problems import Problem

SCOPES = ("accounts:write", "transfers:write", "read", "reverse", "metrics")
REQUIRED = ("exp", "iat", "iss", "aud", "sub", "jti", "scope", "ledger")
LEEWAY_S = 30
"""Clocks differ by so much."""
LIFETIME_S = 900
"""A token that is valid for longer is refused: it cannot be taken back."""
SIZE_MAX = 8192
KEPT_MAX = 10_000
"""So many tokens are remembered as good, until they expire."""

_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
TEXT = re.compile(r"[!-~][ -~]{0,198}")
"""What a subject, and the other texts of a token, may be."""
_TYPES = ("JWT", "at+jwt", "application/at+jwt")
_HEADERS = {"alg", "kid", "typ"}
"""Others say where to fetch a key, or what must be understood: a token has no say in that."""


class Caller(NamedTuple):
    subject: str
    ledger: str
    scopes: frozenset[str]


class Keys(Protocol):
    def find(self, name: str | None) -> Key | None: ...


class Guard:
    """Tells callers from their tokens. For any number of threads."""

    def __init__(self, keys: Keys, issuer: str, audience: str) -> None:
        self._keys, self._issuer, self._audience = keys, issuer, audience
        self._known: dict[str, tuple[float, Caller]] = {}

    def known(self, header: str | None) -> Caller | None:
        """Who sends this Authorization header, if its token was found good before. Problem 401 if it holds none."""
        found = self._known.get(_token(header))
        return found[1] if found is not None and time.time() < found[0] else None

    def caller(self, header: str | None) -> Caller:
        """Who sends this Authorization header: it may take a while, as keys may have to be fetched. Problem 401."""
        known = self.known(header)
        if known is not None:
            return known
        token = _token(header)
        expires_at, caller = self._checked(token, time.time())
        if len(self._known) >= KEPT_MAX:
            self._known.clear()
        self._known[token] = expires_at, caller
        return caller

    def _checked(self, token: str, now: float) -> tuple[float, Caller]:
        try:
            header = jwt.get_unverified_header(token)
            if header.keys() - _HEADERS or header.get("typ", "JWT") not in _TYPES:
                raise _unauthorized("the token's header is not one of ours")
            key = self._keys.find(header.get("kid"))
            if key is None or header["alg"] != key.algorithm:
                raise _unauthorized("the token names no key of ours")
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_S,
                options={"require": list(REQUIRED), "strict_aud": True, "enforce_minimum_key_length": True},
            )
            _once(token)
        except (jwt.PyJWTError, ValueError, KeyError, RecursionError) as error:
            raise _unauthorized(f"the token is not valid: {type(error).__name__}") from None
        return _expiry(claims, now), _caller(claims)


def _token(header: str | None) -> str:
    if header is None:
        raise _unauthorized("there is no bearer token", "")
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or len(token) > SIZE_MAX or not _FORM.fullmatch(token):
        raise _unauthorized("the Authorization header holds no bearer token")
    return token


def _caller(claims: Mapping[str, Any]) -> Caller:
    texts = [claims[name] for name in ("sub", "ledger", "scope", "jti")]
    if not all(isinstance(text, str) and TEXT.fullmatch(text) for text in texts):
        raise _unauthorized("sub, ledger, scope and jti must be plain texts of 1 to 199 characters")
    scopes = frozenset(claims["scope"].split(" "))
    if scopes - set(SCOPES):
        raise _unauthorized("the token has a scope that is unknown")
    return Caller(claims["sub"], claims["ledger"], scopes)


def _expiry(claims: Mapping[str, Any], now: float) -> float:
    times = [claims[name] for name in ("iat", "exp", "nbf") if name in claims]
    if not all(isinstance(one, int) and not isinstance(one, bool) for one in times):
        raise _unauthorized("iat, exp and nbf must be whole numbers")
    if not 0 < claims["exp"] - claims["iat"] <= LIFETIME_S or claims["iat"] > now + LEEWAY_S:
        raise _unauthorized(f"the token must be valid for no more than {LIFETIME_S} s")
    return float(claims["exp"] + LEEWAY_S)


def _once(token: str) -> None:
    """No claim stands twice: others than us might believe the other one. ValueError."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in found}) != len(found):
            raise ValueError("a claim stands twice")
        return dict(found)

    for part in token.split(".")[:2]:
        json.loads(jwt.utils.base64url_decode(part), object_pairs_hook=pairs)


def _unauthorized(detail: str, error: str = ', error="invalid_token"') -> Problem:
    """RFC 6750."""
    return Problem(
        HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", detail, {"WWW-Authenticate": f'Bearer realm="ledger"{error}'}
    )
