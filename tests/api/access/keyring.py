"""Whoever issues tokens, for tests: real keys, and tokens good and bad."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import time
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://issuer.test", "ledgerctl"
SECRET = b"a secret of more than thirty-two bytes"
ASYMMETRIC = ("EdDSA", "ES256", "RS256")


def key(algorithm: str, name: str = "") -> Any:
    """A private key: the same for the same name."""
    return _made(algorithm, name)


@cache
def _made(algorithm: str, _name: str) -> Any:
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, 2048)


def jwk(algorithm: str, name: str = "", *, secret: bool = False, **fields: Any) -> dict[str, Any]:
    """The public half as it is published, or all of it; its kid is the algorithm and the name."""
    whole = key(algorithm, name)
    return as_jwk(whole if secret else whole.public_key(), f"{algorithm}{name}", alg=algorithm, use="sig", **fields)


def as_jwk(one: Any, kid: str, **fields: Any) -> dict[str, Any]:
    kind = type(one).__name__
    to_jwk: Any = OKPAlgorithm if "Ed" in kind else ECAlgorithm if "Elliptic" in kind or "EC" in kind else RSAAlgorithm
    return {**to_jwk.to_jwk(one, as_dict=True), "kid": kid, **fields}


def pem(algorithm: str) -> bytes:
    public: bytes = key(algorithm).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return public


def publish(file: Path, *keys: dict[str, Any]) -> Path:
    file.write_text(json.dumps({"keys": list(keys)}))
    return file


def secret_file(directory: Path, content: bytes = SECRET) -> Path:
    file = directory / "secret"
    file.write_bytes(content + b"\n")
    file.chmod(0o600)
    return file


GONE: Any = object()
"""In place of a claim that is not there."""


def claims(now: float | None = None, **changed: Any) -> dict[str, Any]:
    """Good ones, but for what is given otherwise."""
    at = int(time.time() if now is None else now)
    good = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "shop", "ledger": "main", "scope": "read transfers:write",
        "iat": at, "exp": at + 300, "jti": str(uuid4()),
    }  # fmt: skip
    return {name: value for name, value in {**good, **changed}.items() if value is not GONE}


def signed(algorithm: str = "EdDSA", header: dict[str, Any] | None = None, **changed: Any) -> str:
    """A token by the key of that algorithm, or by the secret."""
    symmetric = algorithm == "HS256"
    named = {} if symmetric else {"kid": algorithm}
    headers = {name: value for name, value in {**named, **(header or {})}.items() if value is not GONE}
    return jwt.encode(claims(**changed), SECRET if symmetric else key(algorithm), algorithm, headers)


def encoded(content: Any) -> str:
    """As a part of a token: bytes, a text, or JSON."""
    raw = content if isinstance(content, bytes) else content.encode() if isinstance(content, str) else None
    return base64.urlsafe_b64encode(json.dumps(content).encode() if raw is None else raw).rstrip(b"=").decode()


def by_hand(header: Any, payload: Any, algorithm: str = "EdDSA") -> str:
    """A token with a right signature on a header and a payload that no library would write."""
    text = f"{encoded(header)}.{encoded(payload)}"
    signer: Any = jwt.get_algorithm_by_name(algorithm)
    return f"{text}.{encoded(signer.sign(text.encode(), key(algorithm)))}"


def mac(header: Any, payload: Any, secret: bytes) -> str:
    """HS256 with any secret at all, such as no library would take."""
    text = f"{encoded(header)}.{encoded(payload)}"
    return f"{text}.{encoded(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def certificate(file: Path) -> Path:
    """Writes a certificate for 127.0.0.1, signed by itself, and its key."""
    own = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, own.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(own, SHA256())
    )
    private = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(made.public_bytes(Encoding.PEM) + private)
    return file
