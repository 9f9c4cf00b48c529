"""Nothing is open that was not meant to be: each route has its scope, and what goes wrong tells nothing."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import Route
from starlette.testclient import TestClient

from ledgerctl.api.app import create
from ledgerctl.api.tokens import SCOPES
from ledgerctl.config import Configuration, load
from ledgerctl.db.connection import Connection
from ledgerctl.errors import BadConfig
from tests.api.access import keyring
from tests.api.access.conftest import Open, bearer

PUBLIC = {"/health", "/ready", "/openapi.json"}
"""The last says what is in the manual, and of no ledger anything."""

NEEDED = {
    ("POST", "/api/v1/accounts"): "accounts:write",
    ("GET", "/api/v1/accounts/{code}"): "read",
    ("GET", "/api/v1/accounts/{code}/balance"): "read",
    ("POST", "/api/v1/transfers"): "transfers:write",
    ("GET", "/api/v1/transactions/account/{code}/history"): "read",
    ("GET", "/api/v1/transactions/{transaction_id}"): "read",
    ("POST", "/api/v1/transactions/{transaction_id}/reverse"): "reverse",
    ("GET", "/metrics"): "metrics",
}

TRANSFER = {"from": "alice", "to": "bob", "amount": "1.00"}
BODIES = {"/api/v1/accounts": {"code": "alice", "currency": "EUR"}, "/api/v1/transfers": TRANSFER}


class Policy(NamedTuple):
    method: str
    path: str
    scope: str
    """Empty where there is none."""
    public: bool


def policies(app: FastAPI) -> Iterator[Policy]:
    """Of each method of each route."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        assert isinstance(route, Route | APIRoute), f"{route} has no policy"
        scopes = sorted(scopes_of(route.dependant)) if isinstance(route, APIRoute) else []
        assert len(scopes) < 2
        for method in sorted((route.methods or set()) - {"HEAD"}):
            path = context.path or ""
            yield Policy(method, path, "".join(scopes), path == app.openapi_url or hasattr(route.endpoint, "public"))


def scopes_of(dependant: Dependant) -> set[str]:
    own = getattr(dependant.call, "scope", None)
    return {scope for one in dependant.dependencies for scope in scopes_of(one)} | ({own} if own else set())


@pytest.fixture
def app(configuration: Callable[..., Configuration]) -> FastAPI:
    return create(configuration(), "tests")


def test_every_route_has_a_scope_or_is_public(app: FastAPI) -> None:
    found = list(policies(app))

    assert [policy for policy in found if bool(policy.scope) is policy.public] == []
    assert {policy.path for policy in found if policy.public} == PUBLIC
    assert {policy.scope for policy in found} == {"", *SCOPES}


def test_a_route_without_a_policy_is_noticed(app: FastAPI) -> None:
    app.add_api_route("/api/v1/forgotten", lambda: None)

    assert [policy.path for policy in policies(app) if bool(policy.scope) is policy.public] == ["/api/v1/forgotten"]


def test_these_are_the_scopes_that_routes_need(app: FastAPI) -> None:
    assert {(policy.method, policy.path): policy.scope for policy in policies(app) if policy.scope} == NEEDED


def asked(api: TestClient, method: str, path: str, headers: dict[str, str]) -> Any:
    return api.request(
        method,
        path.format(code="alice", transaction_id=uuid4()),
        headers={**headers, **({"Idempotency-Key": "k"} if method == "POST" else {})},
        json=BODIES.get(path),
    )


def is_problem(answer: Any, status: int, code: str) -> bool:
    document = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert document["status"] == answer.status_code
    assert document["type"] == f"urn:ledgerctl:problem:{document['code']}"
    return (answer.status_code, document["code"]) == (status, code)


def test_without_a_token_nothing_is_answered(api: TestClient) -> None:
    for method, path in NEEDED:
        answer = asked(api, method, path, {})

        assert is_problem(answer, 401, "UNAUTHORIZED")
        assert answer.headers["www-authenticate"] == 'Bearer realm="ledger"'


def test_without_a_token_a_request_that_lacks_everything_else_is_told_of_the_token_first(api: TestClient) -> None:
    for method, path in NEEDED:
        answer = api.request(method, path.replace("{code}", "a" * 200).replace("{transaction_id}", "x"))

        assert is_problem(answer, 401, "UNAUTHORIZED")


@pytest.mark.parametrize(("method", "path"), NEEDED)
def test_every_other_scope_is_not_enough(api: TestClient, method: str, path: str) -> None:
    needed = NEEDED[method, path]
    others = " ".join(scope for scope in SCOPES if scope != needed)

    answer = asked(api, method, path, bearer(scope=others))

    assert is_problem(answer, 403, "FORBIDDEN")
    assert answer.headers["www-authenticate"] == (
        f'Bearer realm="ledger", error="insufficient_scope", scope="{needed}"'
    )


@pytest.mark.parametrize(("method", "path"), NEEDED)
def test_the_needed_scope_alone_is_enough(api: TestClient, method: str, path: str) -> None:
    assert asked(api, method, path, bearer(scope=NEEDED[method, path])).status_code in (200, 201, 404, 422)


@pytest.mark.parametrize(("method", "path"), [one for one, scope in NEEDED.items() if scope != "metrics"])
def test_a_ledger_that_is_not_there_is_not_found(api: TestClient, method: str, path: str) -> None:
    answer = asked(api, method, path, bearer(ledger="other", scope=" ".join(SCOPES)))

    assert is_problem(answer, 404, "LEDGER_NOT_FOUND")


def test_asking_for_a_ledger_that_is_not_there_leaves_no_connection_behind(api: TestClient, conn: Connection) -> None:
    headers = bearer(ledger="other")
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    [[before]] = conn.execute(count).fetchall()
    for _ in range(20):
        api.get("/api/v1/accounts/alice", headers=headers)
    [[after]] = conn.execute(count).fetchall()

    assert after <= before + 1


def test_the_ledger_is_that_of_the_token_and_no_other_is_seen(api: TestClient, conn: Connection) -> None:
    conn.execute("INSERT INTO ledgers (name) VALUES ('other')")
    writes, reads = {"scope": "accounts:write"}, {"scope": "read"}
    key = {"Idempotency-Key": "k"}
    new = {"code": "alice", "currency": "EUR"}

    assert api.post("/api/v1/accounts", json=new, headers={**bearer(**writes), **key}).status_code == 201
    assert api.get("/api/v1/accounts/alice", headers=bearer(**reads)).status_code == 200
    assert is_problem(
        api.get("/api/v1/accounts/alice", headers=bearer(ledger="other", **reads)), 404, "ACCOUNT_NOT_FOUND"
    )
    assert is_problem(
        api.post("/api/v1/accounts", json={**new, "ledger": "other"}, headers={**bearer(**writes), **key}),
        400,
        "BAD_REQUEST",
    )


def test_two_authorization_headers_are_none(api: TestClient) -> None:
    token = bearer()["Authorization"]

    answer = api.get("/api/v1/accounts/alice", headers=[("Authorization", token), ("Authorization", token)])

    assert is_problem(answer, 401, "UNAUTHORIZED")


# -- what is public --------------------------------------------------------------------------------------------------


def test_what_is_public_tells_nothing_of_anybody(api: TestClient, conninfo: str) -> None:
    assert api.get("/health").json() == api.get("/ready").json() == {"status": "ok"}
    text = api.get("/openapi.json").text
    assert not [secret for secret in (conninfo, keyring.ISSUER, "dbname") if secret in text]


def test_who_asks_whether_it_is_ready_is_not_told_why_it_is_not(
    api: TestClient, conn: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    conn.execute("DROP TABLE alembic_version")
    with caplog.at_level(logging.WARNING, logger="ledgerctl"):
        answer = api.get("/ready")

    assert (answer.status_code, answer.json()) == (503, {"status": "unavailable"})
    assert "not ready" in [record.message for record in caplog.records]


def test_there_are_no_pages_that_load_scripts(api: TestClient) -> None:
    for path in ("/docs", "/redoc", "/docs/oauth2-redirect"):
        assert is_problem(api.get(path), 404, "NOT_FOUND")


# -- problems --------------------------------------------------------------------------------------------------------

SECURE = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "strict-transport-security": "max-age=31536000",
}
TRACE = re.compile(r"Traceback|File \"|\.py|psycopg|SELECT|relation|line \d", re.IGNORECASE)


def broken(api: TestClient, conn: Connection) -> Any:
    """The answer where the database is not what the program takes it to be."""
    headers = bearer()
    assert api.get("/api/v1/accounts/alice", headers=headers).status_code == 404
    conn.execute("DROP TABLE accounts CASCADE")
    return api.get("/api/v1/accounts/alice", headers={**headers, "X-Request-Id": "mine-1"})


def test_what_is_ours_to_mend_is_told_without_how(api: TestClient, conn: Connection) -> None:
    answer = broken(api, conn)

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "the server has failed; its log says how"
    assert set(answer.json()) == {"type", "title", "status", "code", "detail"}
    assert not TRACE.search(answer.text)


def test_a_bug_is_told_without_its_trace_and_with_all_that_other_answers_have(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    def raises() -> None:
        raise RuntimeError("secret 4711")

    app.add_api_route("/bug", raises)
    with TestClient(app, raise_server_exceptions=False) as api, caplog.at_level(logging.INFO, logger="ledgerctl"):
        answer = api.get("/bug", headers={"X-Request-Id": "mine-1"})

    assert is_problem(answer, 500, "BUG")
    assert "4711" not in answer.text
    assert not TRACE.search(answer.text)
    assert {**SECURE, "x-request-id": "mine-1"}.items() <= dict(answer.headers).items()
    [line] = [record.fields for record in caplog.records if record.message == "answered"]  # type: ignore[attr-defined]
    assert (line["status"], line["route"]) == (500, "/bug")


def test_every_answer_has_the_headers_that_keep_it_to_itself(api: TestClient) -> None:
    answers = [api.get(path) for path in ("/health", "/nowhere", "/metrics", "/api/v1/accounts/alice")]
    answers += [api.delete("/health"), api.get("/api/v1/accounts/alice", headers=bearer())]

    for answer in answers:
        assert SECURE.items() <= dict(answer.headers).items()
        assert answer.headers["x-request-id"]
        assert "server" not in answer.headers
    assert [answer.status_code for answer in answers] == [200, 404, 401, 401, 405, 404]
    assert all(is_problem(answer, answer.status_code, answer.json()["code"]) for answer in answers[1:])


# -- limits, and who may ask from where ------------------------------------------------------------------------------


def post(api: TestClient, content: Any, **headers: str) -> Any:
    given = {**bearer(), "Idempotency-Key": "k", "Content-Type": "application/json", **headers}
    return api.post("/api/v1/transfers", content=content, headers=given)


def test_a_body_has_a_limit_whether_it_says_its_length_or_not(open_api: Open) -> None:
    api = open_api(body_max_bytes=1024)

    assert is_problem(post(api, b" " * 1025), 413, "BODY_TOO_LARGE")
    assert is_problem(post(api, iter([b" " * 600] * 2)), 413, "BODY_TOO_LARGE")
    assert is_problem(post(api, iter([b" "] * 1025)), 413, "BODY_TOO_LARGE")
    assert is_problem(post(api, b" " * 1024), 400, "BAD_REQUEST")
    assert is_problem(post(api, b"{}", **{"Content-Length": "no number"}), 400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"[]", b"[" * 100_000, b'{"from": "\xff"}', b'{"\\ud800": 1}', b'{"from": "\\ud800"}',
     b'{"from": "a", "to": "b", "amount": 1.5}', b'{"from": "a", "to": "b", "amount": NaN}',
     b'{"from": "a", "to": "b", "amount": "1", "metadata": {"\\ud800": "\\udfff"}}', b"9" * 5000],
)  # fmt: skip
def test_a_body_that_cannot_be_read_is_the_caller_s_affair(api: TestClient, content: bytes) -> None:
    answer = post(api, content)

    assert is_problem(answer, 400, answer.json()["code"])
    assert answer.json()["code"] in ("BAD_REQUEST", "BAD_TEXT")


def test_a_list_has_a_limit(open_api: Open) -> None:
    body = {"transfers": [TRANSFER] * 3}
    headers = {**bearer(), "Idempotency-Key": "k"}

    assert is_problem(open_api(list_max=2).post("/api/v1/transfers", json=body, headers=headers), 413, "LIST_TOO_LONG")


def test_no_web_page_may_ask_unless_it_is_named(open_api: Open) -> None:
    closed, opened = open_api(), open_api(cors="https://shop.test, https://till.test")
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}

    def allowed(api: TestClient, origin: str) -> list[str | None]:
        answers = [
            api.get("/health", headers={"Origin": origin}),
            api.options("/api/v1/transfers", headers={"Origin": origin, **preflight}),
        ]
        assert not [answer for answer in answers if "access-control-allow-credentials" in answer.headers]
        return [answer.headers.get("access-control-allow-origin") for answer in answers]

    assert allowed(closed, "https://shop.test") == [None, None]
    assert allowed(opened, "https://till.test") == ["https://till.test"] * 2
    assert allowed(opened, "https://shop.test.evil.test") == [None, None]


@pytest.mark.parametrize(
    ("api", "words"),
    [
        ({"issuer": ""}, "issuer is not set"),
        ({"audience": ""}, "audience is empty"),
        ({"jwks": ""}, "either jwks or secret_file"),
        ({"secret_file": "secret"}, "either jwks or secret_file"),
        ({"jwks": "http://issuer.test/"}, "https"),
    ],
)
def test_it_does_not_begin_without_knowing_whose_tokens_are_good(
    configuration: Callable[..., Configuration], api: dict[str, str], words: str
) -> None:
    with pytest.raises(BadConfig, match=words):
        create(configuration(**api), "tests")


def test_without_settings_it_does_not_begin(conninfo: str) -> None:
    with pytest.raises(BadConfig, match="issuer is not set"):
        create(load(flags={"database": {"url": conninfo}}), "tests")
