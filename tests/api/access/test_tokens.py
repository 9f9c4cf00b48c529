"""Who may ask: good tokens of each algorithm, forged ones of each kind, and what is remembered of the good ones."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256

from ledgerctl.api import tokens
from ledgerctl.api.keys import Published, Secret
from ledgerctl.api.problems import Problem
from ledgerctl.api.tokens import LEEWAY_S, LIFETIME_S, SCOPES, SIZE_MAX, Caller, Guard
from tests.api.access import keyring
from tests.api.access.keyring import (
    ASYMMETRIC,
    AUDIENCE,
    GONE,
    ISSUER,
    SECRET,
    by_hand,
    claims,
    encoded,
    key,
    mac,
    signed,
)


@pytest.fixture(scope="module")
def by_keys(tmp_path_factory: pytest.TempPathFactory) -> Guard:
    """One who knows a public key of each kind."""
    file = keyring.publish(tmp_path_factory.mktemp("keys") / "jwks.json", *map(keyring.jwk, ASYMMETRIC))
    return Guard(Published(str(file)), ISSUER, AUDIENCE)


@pytest.fixture
def by_secret(tmp_path: Path) -> Guard:
    return Guard(Secret(keyring.secret_file(tmp_path)), ISSUER, AUDIENCE)


def refusal(guard: Guard, header: str | None) -> Problem:
    with pytest.raises(Problem) as caught:
        guard.caller(header)
    return caught.value


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_good_token_by_a_published_key_says_who_asks(by_keys: Guard, algorithm: str) -> None:
    caller = by_keys.caller(f"Bearer {signed(algorithm)}")

    assert caller == Caller("shop", "main", frozenset({"read", "transfers:write"}))


def test_a_good_token_by_the_secret_says_who_asks(by_secret: Guard) -> None:
    assert by_secret.caller(f"Bearer {signed('HS256', scope='metrics')}").scopes == {"metrics"}


GOOD: dict[str, dict[str, Any]] = {
    "all scopes": {"scope": " ".join(SCOPES)},
    "nbf in the past": {"nbf": int(time.time()) - 100},
    "a claim of the issuer's own": {"email": "shop@example.com", "nested": {"a": [1]}},
    "a subject with a space": {"sub": "the shop"},
}


@pytest.mark.parametrize("changed", GOOD.values(), ids=GOOD)
def test_what_else_a_good_token_may_say(by_keys: Guard, changed: dict[str, Any]) -> None:
    assert by_keys.caller(f"Bearer {signed(**changed)}").ledger == "main"


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", "application/at+jwt", GONE])
def test_the_types_that_a_token_may_have(by_keys: Guard, typ: Any) -> None:
    header = {"alg": "EdDSA", "kid": "EdDSA", **({} if typ is GONE else {"typ": typ})}

    assert by_keys.caller(f"Bearer {by_hand(header, claims())}").subject == "shop"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_read_in_any_case(by_keys: Guard, scheme: str) -> None:
    assert by_keys.caller(f"{scheme} {signed()}").subject == "shop"


# -- forged ----------------------------------------------------------------------------------------------------------

EDDSA = {"alg": "EdDSA", "kid": "EdDSA", "typ": "JWT"}


def now() -> int:
    """When the token is made, not when the tests are read."""
    return int(time.time())


STRANGER = ed25519.Ed25519PrivateKey.generate()
SHORT = ec.generate_private_key(ec.SECP384R1())


def unsigned(alg: Any) -> str:
    return f"{encoded({**EDDSA, 'alg': alg})}.{encoded(claims())}."


def parts(token: str) -> list[str]:
    return token.split(".")


def with_header(**fields: Any) -> str:
    """Well signed: only its header is not right."""
    return by_hand({name: value for name, value in {**EDDSA, **fields}.items() if value is not GONE}, claims())


def with_claims(**changed: Any) -> str:
    """Claims that no library would write."""
    return by_hand(EDDSA, claims(**changed))


def confused(name: str) -> str:
    """HS256 by what everybody knows, in the hope that it is taken for the secret."""
    return mac({"alg": "HS256", "kid": name, "typ": "JWT"}, claims(), keyring.pem(name))


def doubled(part: str, name: str, value: Any) -> str:
    """A token in which one name stands twice, once with another value before the good one."""
    header, payload = json.dumps(EDDSA), json.dumps(claims())
    twice = f'{{"{name}": {json.dumps(value)}, '
    return by_hand(twice + header[1:], payload) if part == "header" else by_hand(header, twice + payload[1:])


def with_text(name: str, text: str) -> str:
    """A claim in JSON that no encoder writes."""
    rest = json.dumps(claims(**{name: GONE}))
    return by_hand(EDDSA, f'{rest[:-1]}, "{name}": {text}}}')


Make = Callable[[], str]

WITHOUT_THE_KEY: dict[str, Make] = {
    # no signature, or not that of the key
    **{f"alg {spelled}": partial(unsigned, spelled) for spelled in ("none", "None", "NONE", "nOnE", "")},
    "alg none signed with nothing": lambda: unsigned("none") + encoded("x"),
    "alg null": lambda: unsigned(None) + encoded("x"),
    "alg missing": lambda: with_header(alg=GONE),
    "alg a list": lambda: with_header(alg=["EdDSA"]),
    "alg with a space": lambda: with_header(alg="EdDSA "),
    "alg in lower case": lambda: with_header(alg="eddsa"),
    **{f"HS256 with the public key of {name} as secret": partial(confused, name) for name in ASYMMETRIC},
    "HS256 with the JWK as secret": lambda: mac(
        {"alg": "HS256", "kid": "EdDSA"}, claims(), json.dumps(keyring.jwk("EdDSA")).encode()
    ),
    "HS256 with nothing as secret": lambda: mac({"alg": "HS256", "kid": "EdDSA"}, claims(), b""),
    "HS256 where keys are published": lambda: signed("HS256"),
    "HS256 that names a key": lambda: signed("HS256", {"kid": "EdDSA"}),
    "HS512": lambda: jwt.encode(claims(), SECRET * 2, "HS512", {"kid": "EdDSA"}),
    "ES256 named EdDSA": lambda: by_hand(EDDSA, claims(), "ES256"),
    "RS256 by the key of ES256": lambda: signed("RS256", {"kid": "ES256"}),
    "ES256 by the key of RS256": lambda: signed("ES256", {"kid": "RS256"}),
    "PS256 by the key of RS256": lambda: jwt.encode(claims(), key("RS256"), "PS256", {"kid": "RS256"}),
    "RS512 by the key of RS256": lambda: jwt.encode(claims(), key("RS256"), "RS512", {"kid": "RS256"}),
    "ES384 by another curve": lambda: jwt.encode(claims(), SHORT, "ES384", {"kid": "ES256"}),
    "a stranger's key": lambda: jwt.encode(claims(), STRANGER, "EdDSA", {"kid": "EdDSA"}),
    "the other key of the same kind": lambda: jwt.encode(claims(), key("EdDSA", "-2"), "EdDSA", {"kid": "EdDSA"}),
    "a signature cut short": lambda: signed()[:-8],
    "half a signature": lambda: ".".join([*parts(signed())[:2], encoded(key("EdDSA").sign(b"x")[:32])]),
    "a signature of zeros": lambda: ".".join([*parts(signed())[:2], encoded(bytes(64))]),
    "an ECDSA signature of zeros": lambda: ".".join([*parts(signed("ES256"))[:2], encoded(bytes(64))]),
    "a signature in DER": lambda: ".".join(
        [*parts(signed("ES256"))[:2], encoded(key("ES256").sign(b"x", ec.ECDSA(SHA256())))]
    ),
    "another token's signature": lambda: ".".join([*parts(signed())[:2], parts(signed(sub="b"))[2]]),
    "a payload changed": lambda: ".".join([parts(signed())[0], encoded(claims(scope="reverse")), parts(signed())[2]]),
    "a header changed": lambda: ".".join([encoded({**EDDSA, "typ": "at+jwt"}), *parts(signed())[1:]]),
}
WITH_THE_KEY: dict[str, Make] = {
    # which key
    "kid missing": lambda: with_header(kid=GONE),
    "kid unknown": lambda: with_header(kid="EdDSA-2"),
    "kid empty": lambda: with_header(kid=""),
    "kid null": lambda: with_header(kid=None),
    "kid a number": lambda: with_header(kid=1),
    "kid a list": lambda: with_header(kid=["EdDSA"]),
    "kid an object": lambda: with_header(kid={"EdDSA": "EdDSA"}),
    "kid a path": lambda: with_header(kid="../../../../dev/null"),
    "kid a path signed with its content": lambda: mac({"alg": "HS256", "kid": "/dev/null"}, claims(), b""),
    "kid SQL": lambda: with_header(kid="x' UNION SELECT 'EdDSA' --"),
    "kid a URL": lambda: with_header(kid="https://evil.test/key"),
    "kid a command": lambda: with_header(kid="EdDSA|id"),
    "kid with a NUL": lambda: with_header(kid="EdDSA\0"),
    "kid in other case": lambda: with_header(kid="eddsa"),
    "jku": lambda: with_header(jku="https://evil.test/jwks.json"),
    "x5u": lambda: with_header(x5u="https://evil.test/chain.pem"),
    "x5c": lambda: with_header(x5c=["MIIB"]),
    "x5t": lambda: with_header(x5t="abc"),
    "jwk of a stranger, signed by him": lambda: jwt.encode(
        claims(), STRANGER, "EdDSA", {"kid": "EdDSA", "jwk": keyring.as_jwk(STRANGER.public_key(), "EdDSA")}
    ),
    "jwk of our own": lambda: with_header(jwk=keyring.jwk("EdDSA")),
    # what else a header says
    "crit": lambda: with_header(crit=["exp"]),
    "crit empty": lambda: with_header(crit=[]),
    "crit with b64": lambda: with_header(crit=["b64"], b64=False),
    "b64 true": lambda: with_header(b64=True),
    "zip": lambda: with_header(zip="DEF"),
    "cty JWT": lambda: with_header(cty="JWT"),
    "a nested token": lambda: by_hand({**EDDSA, "cty": "JWT"}, signed()),
    "a nested token without cty": lambda: by_hand(EDDSA, signed()),
    "typ unknown": lambda: with_header(typ="JWE"),
    "typ of an id token": lambda: with_header(typ="id_token+jwt"),
    "typ of a DPoP proof": lambda: with_header(typ="dpop+jwt"),
    "typ null": lambda: with_header(typ=None),
    "typ a list": lambda: with_header(typ=["JWT"]),
    # for whom, by whom
    "aud of somebody else": lambda: signed(aud="billing"),
    "aud a list with ours": lambda: signed(aud=[AUDIENCE]),
    "aud a list with others": lambda: signed(aud=[AUDIENCE, "billing"]),
    "aud a prefix of ours": lambda: signed(aud=AUDIENCE[:-1]),
    "aud that begins like ours": lambda: signed(aud=f"{AUDIENCE}-test"),
    "aud in other case": lambda: signed(aud=AUDIENCE.upper()),
    "aud an object": lambda: signed(aud={AUDIENCE: True}),
    "aud empty": lambda: signed(aud=""),
    "iss of somebody else": lambda: signed(iss="https://evil.test"),
    "iss that begins like ours": lambda: signed(iss=f"{ISSUER}.evil.test"),
    "iss with a slash": lambda: signed(iss=f"{ISSUER}/"),
    "iss a list": lambda: by_hand(EDDSA, claims(iss=[ISSUER])),
    # when
    "exp past": lambda: signed(iat=now() - 400, exp=now() - 100),
    "exp zero": lambda: signed(exp=0),
    "exp negative": lambda: signed(exp=-1),
    "exp too far": lambda: signed(exp=now() + LIFETIME_S + 60),
    "exp in a thousand years": lambda: signed(exp=now() + 1000 * 365 * 86_400),
    "exp a float": lambda: signed(exp=time.time() + 300),
    "exp a text": lambda: signed(exp=str(now() + 300)),
    "exp true": lambda: signed(exp=True),
    "exp a list": lambda: signed(exp=[now() + 300]),
    "exp an object": lambda: signed(exp={"at": now() + 300}),
    "exp huge": lambda: signed(iat=10**400, exp=10**400 + 300),
    "exp of more digits than are read": lambda: with_text("exp", "9" * 5000),
    "exp infinite": lambda: with_text("exp", "Infinity"),
    "exp 1e400": lambda: with_text("exp", "1e400"),
    "exp not a number": lambda: with_text("exp", "NaN"),
    "exp before iat": lambda: signed(iat=now() + 20, exp=now() + 10),
    "exp at iat": lambda: signed(iat=now(), exp=now()),
    "nbf future": lambda: signed(nbf=now() + 200),
    "nbf a text": lambda: signed(nbf=str(now())),
    "nbf a float": lambda: signed(nbf=now() - 0.5),
    "nbf true": lambda: signed(nbf=True),
    "nbf null": lambda: by_hand(EDDSA, claims(nbf=None)),
    "nbf infinite": lambda: with_text("nbf", "-Infinity"),
    "iat future": lambda: signed(iat=now() + 200, exp=now() + 400),
    "iat a text": lambda: signed(iat=str(now())),
    "iat true": lambda: signed(iat=True),
    "iat infinite": lambda: with_text("iat", "Infinity"),
    # what is missing, or twice there
    **{f"{name} missing": partial(signed, **{name: GONE}) for name in tokens.REQUIRED},
    **{f"{name} null": partial(with_claims, **{name: None}) for name in tokens.REQUIRED},
    **{
        f"{name} twice": partial(doubled, "payload", name, value)
        for name, value in {"sub": "root", "scope": "reverse", "exp": now() + 10**9, "aud": "billing"}.items()
    },
    "sub twice in other spelling": lambda: by_hand(EDDSA, json.dumps(claims())[:-1] + ', "s\\u0075b": "root"}'),
    "kid twice": lambda: doubled("header", "kid", "RS256"),
    "alg twice": lambda: doubled("header", "alg", "none"),
    "a name twice inside a claim": lambda: with_text("more", '{"a": 1, "a": 2}'),
    # what it may do, for whom
    "scope unknown": lambda: signed(scope="admin"),
    "scope unknown beside a known one": lambda: signed(scope="read admin"),
    "scope empty": lambda: signed(scope=""),
    "scope a space": lambda: signed(scope=" "),
    "scope a list": lambda: signed(scope=["read"]),
    "scope with commas": lambda: signed(scope="read,reverse"),
    "scope with two spaces": lambda: signed(scope="read  reverse"),
    "scope with a tab": lambda: signed(scope="read\treverse"),
    "scope with a star": lambda: signed(scope="*"),
    "scope in other case": lambda: signed(scope="READ"),
    "sub empty": lambda: signed(sub=""),
    "sub a space": lambda: signed(sub=" "),
    "sub with a line end": lambda: signed(sub="shop\n"),
    "sub with control characters": lambda: signed(sub="shop\x1b[2J"),
    "sub with a NUL": lambda: signed(sub="sh\0op"),
    "sub that is written from right to left": lambda: signed(sub="shop\u202e"),
    "sub with half a character": lambda: with_text("sub", '"\\ud800"'),
    "sub a number": lambda: by_hand(EDDSA, claims(sub=7)),
    "sub too long": lambda: signed(sub="s" * 200),
    "ledger a number": lambda: signed(ledger=1),
    "ledger a list": lambda: signed(ledger=["main", "other"]),
    "ledger empty": lambda: signed(ledger=""),
    "ledger with a NUL": lambda: signed(ledger="main\0"),
    "jti empty": lambda: signed(jti=""),
    "jti a number": lambda: by_hand(EDDSA, claims(jti=1)),
    # not the form of a token
    "nothing": lambda: "",
    "one part": lambda: parts(signed())[0],
    "two parts": lambda: ".".join(parts(signed())[:2]),
    "four parts": lambda: f"{signed()}.{encoded('x')}",
    "five parts, as of JWE": lambda: ".".join([encoded({"alg": "dir", "enc": "A256GCM"}), "", "x", "x", "x"]),
    "an empty header": lambda: f".{'.'.join(parts(signed())[1:])}",
    "an empty payload": lambda: f"{parts(signed())[0]}..{parts(signed())[2]}",
    "an empty signature": lambda: f"{'.'.join(parts(signed())[:2])}.",
    "dots alone": lambda: "..",
    "a header that is a list": lambda: by_hand([EDDSA], claims()),
    "a header that is null": lambda: by_hand(None, claims()),
    "a header that is no JSON": lambda: by_hand("alg: EdDSA", claims()),
    "a header that is no UTF-8": lambda: by_hand(b'{"alg": "EdDSA", "kid": "\xff"}', claims()),
    "a header without end": lambda: by_hand("[" * 4000, claims()),
    "a payload that is a list": lambda: by_hand(EDDSA, [claims()]),
    "a payload that is a text": lambda: by_hand(EDDSA, "shop"),
    "a payload that is null": lambda: by_hand(EDDSA, None),
    "a payload without end": lambda: by_hand(EDDSA, "[" * 4000),
    "a payload in UTF-16": lambda: by_hand(EDDSA, json.dumps(claims(sub=["x"])).encode("utf-16")),
    "padding": lambda: f"{signed()}==",
    "plain base64": lambda: signed().replace("-", "+").replace("_", "/") + "+",
    "a megabyte": lambda: signed(more="x" * 2**20),
    "a megabyte of dots": lambda: "." * 2**20,
    "more than it may have": lambda: signed(more="x" * SIZE_MAX),
    "a space before": lambda: f" {signed()}",
    "a space behind": lambda: f"{signed()} ",
    "a line end behind": lambda: f"{signed()}\n",
    "a tab within": lambda: signed().replace(".", ".\t", 1),
    "a NUL behind": lambda: f"{signed()}\0",
    "two tokens": lambda: f"{signed()}, {signed()}",
    "two tokens with their schemes": lambda: f"{signed()}, Bearer {signed()}",
    "quoted": lambda: f'"{signed()}"',
    "the bits of other letters": lambda: signed().replace("e", "\u0435", 1),
}


FORGED = {**WITHOUT_THE_KEY, **WITH_THE_KEY}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_is_refused(by_keys: Guard, name: str) -> None:
    token = FORGED[name]()

    problem = refusal(by_keys, f"Bearer {token}")

    assert (problem.status, problem.code) == (HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED")
    assert dict(problem.headers or {}) == {"WWW-Authenticate": 'Bearer realm="ledger", error="invalid_token"'}
    assert not token or token not in problem.detail
    assert name in WITHOUT_THE_KEY or "InvalidSignature" not in problem.detail  # refused for what it says


def test_there_are_enough_of_them_and_each_is_one_of_its_own() -> None:
    made = [make() for make in FORGED.values()]

    assert len(set(made)) == len(made) > 150


BY_SECRET: dict[str, Make] = {
    "EdDSA where there is a secret": signed,
    "EdDSA without kid": lambda: with_header(kid=GONE),
    "RS256 where there is a secret": lambda: signed("RS256", {"kid": GONE}),
    "HS256 that names a key": lambda: signed("HS256", {"kid": "HS256"}),
    "HS256 that names an empty key": lambda: signed("HS256", {"kid": ""}),
    "HS384 by the same secret": lambda: jwt.encode(claims(), SECRET * 2, "HS384"),
    "another secret": lambda: mac({"alg": "HS256"}, claims(), SECRET[:-1]),
    "an empty secret": lambda: mac({"alg": "HS256"}, claims(), b""),
    "alg none": lambda: unsigned("none"),
    "alg hs256": lambda: mac({"alg": "hs256"}, claims(), SECRET),
}


@pytest.mark.parametrize("name", BY_SECRET)
def test_a_forged_token_is_refused_where_there_is_a_secret(by_secret: Guard, name: str) -> None:
    assert refusal(by_secret, f"Bearer {BY_SECRET[name]()}").status == HTTPStatus.UNAUTHORIZED


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic c2hvcDpzZWNyZXQ=", "Basic {}", "DPoP {}", "Token {}", "{}", "Bearer\t{}",
     " Bearer {}", "Bearer: {}", "Bearer  {}", "Bearer Bearer {}", "Basic x, Bearer {}"],
)  # fmt: skip
def test_a_good_token_by_another_scheme_is_refused(by_keys: Guard, header: str) -> None:
    assert refusal(by_keys, header.format(signed())).status == HTTPStatus.UNAUTHORIZED


def test_who_sends_no_token_is_told_the_scheme_and_of_no_error(by_keys: Guard) -> None:
    problem = refusal(by_keys, None)

    assert dict(problem.headers or {}) == {"WWW-Authenticate": 'Bearer realm="ledger"'}


# -- clocks, and what is remembered ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "of_now", "good"),
    [
        ("exp", -LEEWAY_S + 5, True),
        ("exp", -LEEWAY_S, False),
        ("exp", -LEEWAY_S - 1, False),
        ("nbf", LEEWAY_S - 1, True),
        ("nbf", LEEWAY_S + 5, False),
        ("iat", LEEWAY_S - 1, True),
        ("iat", LEEWAY_S + 5, False),
    ],
)
def test_clocks_may_differ_by_the_leeway_and_no_more(by_keys: Guard, name: str, of_now: int, good: bool) -> None:
    """The second that may pass meanwhile, and those of a slow machine, are on the side where it makes no difference."""
    now = int(time.time())
    times: dict[str, Any] = {"iat": now - 300, "exp": now + 100, name: now + of_now}
    token = signed(**times)

    if good:
        assert by_keys.caller(f"Bearer {token}").subject == "shop"
    else:
        assert refusal(by_keys, f"Bearer {token}").code == "UNAUTHORIZED"


@pytest.mark.parametrize(("lifetime_s", "good"), [(1, True), (LIFETIME_S, True), (LIFETIME_S + 1, False)])
def test_a_token_lives_for_so_long_and_no_longer(by_keys: Guard, lifetime_s: int, good: bool) -> None:
    now = int(time.time())
    token = signed(iat=now, exp=now + lifetime_s)

    if good:
        assert by_keys.caller(f"Bearer {token}").subject == "shop"
    else:
        assert "no more than 900 s" in refusal(by_keys, f"Bearer {token}").detail


class Counting:
    """The keys, and how often they were asked for: once for each token that is looked at closely."""

    def __init__(self, keys: Published) -> None:
        self.keys, self.asked = keys, 0

    def find(self, name: str | None) -> Any:
        self.asked += 1
        return self.keys.find(name)


@pytest.fixture
def counting(tmp_path: Path) -> Counting:
    return Counting(Published(str(keyring.publish(tmp_path / "jwks.json", keyring.jwk("EdDSA")))))


def test_a_good_token_is_looked_at_once(counting: Counting) -> None:
    guard, header = Guard(counting, ISSUER, AUDIENCE), f"Bearer {signed()}"

    assert guard.known(header) is None
    assert guard.caller(header) == guard.caller(header) == guard.known(header)
    assert counting.asked == 1


def test_an_expired_token_is_not_answered_from_memory(counting: Counting) -> None:
    """It has a little more than a second left, with the leeway."""
    now = int(time.time())
    guard, header = Guard(counting, ISSUER, AUDIENCE), f"Bearer {signed(iat=now - 100, exp=now - LEEWAY_S + 2)}"
    guard.caller(header)

    time.sleep(now + 2.05 - time.time())

    assert guard.known(header) is None
    assert refusal(guard, header).code == "UNAUTHORIZED"
    assert counting.asked == 2


def test_a_forged_token_is_not_remembered_and_spoils_no_good_one(counting: Counting) -> None:
    guard, good = Guard(counting, ISSUER, AUDIENCE), f"Bearer {signed()}"
    forged = f"Bearer {signed().rpartition('.')[0]}.{good.rpartition('.')[2]}"
    for _ in range(2):
        refusal(guard, forged)
    guard.caller(good)

    assert counting.asked == 3
    assert guard.known(forged) is None
    assert guard.known(good) is not None


def test_what_is_remembered_is_bounded(counting: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "KEPT_MAX", 5)
    guard = Guard(counting, ISSUER, AUDIENCE)
    headers = [f"Bearer {signed()}" for _ in range(12)]
    for header in headers:
        guard.caller(header)
        assert sum(guard.known(one) is not None for one in headers) <= 5

    assert guard.known(headers[-1]) is not None
