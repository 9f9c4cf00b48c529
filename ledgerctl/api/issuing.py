"""Tokens made here: for development, and for machines that share our secret."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt

from ledgerctl.api.keys import ALGORITHMS, Secret, private
from ledgerctl.api.tokens import SCOPES, TEXT
from ledgerctl.config import Configuration
from ledgerctl.errors import BadConfig, BadUsage

__all__ = ["SCOPES", "issue"]


def issue(configuration: Configuration, key: Path | None, subject: str, scopes: Sequence[str], seconds: int) -> str:
    """Signed with a private key (a JWK in a file), or with the secret of the configuration. BadUsage, BadConfig."""
    api, ledger = configuration.settings.api, configuration.settings.ledger.name
    if not api.issuer:
        raise BadConfig(detail="[api] issuer is not set")
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        raise BadUsage(detail=f"there is no scope '{unknown[0]}'; there are {', '.join(SCOPES)}")
    if not TEXT.fullmatch(subject) or not TEXT.fullmatch(ledger):
        raise BadUsage(detail="the subject and the ledger of a token are 1 to 199 characters of ASCII")
    now = int(time.time())
    claims = {
        "iss": api.issuer, "aud": api.audience, "sub": subject, "ledger": ledger,
        "scope": " ".join(dict.fromkeys(scopes)), "iat": now, "exp": now + seconds, "jti": str(uuid4()),
    }  # fmt: skip
    if key is not None:
        return _by_key(key, claims)
    secret = configuration.api_secret_file
    if secret is None:
        raise BadConfig(detail="[api] secret_file is not set", hint="set it, or give --key")
    found = Secret(secret).find(None)
    assert found is not None  # noqa: S101 - the secret has no name
    return jwt.encode(claims, found.key, found.algorithm)


def _by_key(file: Path, claims: dict[str, object]) -> str:
    content = private(file, "--key")
    try:
        document: dict[str, Any] = json.loads(content)
        name, key = document["kid"], jwt.PyJWK(document)
        kind = (document["kty"], document.get("crv"))
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError, jwt.PyJWTError) as error:
        # Only what kind of error: its words may hold the key.
        raise BadConfig(detail=f"{file} is not a JWK that has a kid ({type(error).__name__})") from None
    if ALGORITHMS.get(key.algorithm_name) != kind or "d" not in document or not isinstance(name, str):
        raise BadConfig(detail=f"{file} must be a private key for {', '.join(ALGORITHMS)}, and its kid a text")
    return jwt.encode(claims, key.key, key.algorithm_name, {"kid": name})
