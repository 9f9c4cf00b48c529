"""Accounts over HTTP: created once, shown, and what they hold."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import pytest

from ledgerctl.db.connection import Connection
from tests.api.conftest import Client, audit_lines, is_problem
from tests.conftest import Run


def test_an_account_is_created_and_shown_with_its_attributes(api: Client) -> None:
    attributes: dict[str, Any] = {
        "type": "asset",
        "name": "Ünïcode ✓",
        "min_balance": "none",
        "metadata": {"branch": "1"},
    }
    made = api.account("bank", **attributes)

    assert made.status_code == 201
    assert made.headers["Location"] == "/api/v1/accounts/bank"
    assert "Idempotent-Replayed" not in made.headers
    shown = api.get(made.headers["Location"])
    assert shown.json() == made.json()
    told = {name: made.json()[name] for name in ("code", "currency", "balance", "seq", "status", *attributes)}
    assert told == {
        **attributes, "code": "bank", "currency": "EUR", "balance": "0.00", "seq": 0, "status": "active",
        "min_balance": None,
    }  # fmt: skip


def test_the_same_account_again_is_a_replay_and_another_under_its_key_is_refused(api: Client) -> None:
    first = api.account("alice", "one", name="Alice")
    again = api.account("alice", "one", name="Alice")

    assert (again.status_code, again.headers["Idempotent-Replayed"], again.json()) == (201, "true", first.json())
    renamed = is_problem(api.account("alice", "one", name="Bob"), 422, "IDEMPOTENCY_CONFLICT")
    assert renamed["details"]["fields"] == "name"
    another = is_problem(api.account("bob", "one", name="Alice"), 422, "IDEMPOTENCY_CONFLICT")
    assert another["details"]["fields"] == "account"
    is_problem(api.get("/api/v1/accounts/bob"), 404, "ACCOUNT_NOT_FOUND")


def test_an_account_that_exists_stays_as_it_is_under_any_key(api: Client) -> None:
    api.account("alice", "one", name="Alice")

    assert api.account("alice", "two", name="Alice").headers["Idempotent-Replayed"] == "true"
    exists = is_problem(api.account("alice", "three", name="Alicia"), 409, "ACCOUNT_EXISTS")
    assert exists["details"]["fields"] == "name"


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"code": "a b"}, "BAD_ACCOUNT_CODE"),
        ({"code": ""}, "BAD_ACCOUNT_CODE"),
        ({"code": "a" * 129}, "BAD_ACCOUNT_CODE"),
        ({"code": "a\0"}, "BAD_ACCOUNT_CODE"),
        ({"currency": "XXY"}, "UNKNOWN_CURRENCY"),
        ({"currency": "eur\0"}, "UNKNOWN_CURRENCY"),
        ({"min_balance": "1e3"}, "BAD_AMOUNT"),
        ({"min_balance": "5"}, "BAD_TEXT"),
        ({"min_balance": 5}, "BAD_REQUEST"),
        ({"max_balance": "0.001"}, "TOO_MANY_DECIMALS"),
        ({"name": "a\0b"}, "BAD_TEXT"),
        ({"name": "a" * 201}, "BAD_TEXT"),
        ({"name": "\ud800"}, "BAD_REQUEST"),
        ({"type": "cash"}, "BAD_REQUEST"),
        ({"metadata": {"a": 1}}, "BAD_REQUEST"),
        ({"metadata": {str(n): "" for n in range(51)}}, "BAD_REQUEST"),
        ({"metadata": {"\ud800": "\ud800"}}, "BAD_TEXT"),
        ({"owner": "alice"}, "BAD_REQUEST"),
        ({"\ud800": "alice"}, "BAD_REQUEST"),
    ],
)
def test_what_no_account_can_have_is_refused(unchanged: Client, attributes: dict[str, object], code: str) -> None:
    is_problem(unchanged.account(**{"code": "carol", **attributes}), 400, code)  # type: ignore[arg-type]

    is_problem(unchanged.get("/api/v1/accounts/carol"), 404, "ACCOUNT_NOT_FOUND")


@pytest.mark.parametrize("code", ["nobody", "a\0b", "ü", "a b", "a" * 129, "%"])
@pytest.mark.parametrize("path", ["accounts/{}", "accounts/{}/balance", "accounts/{}/balance?as_of=today",
                                  "transactions/account/{}/history"])  # fmt: skip
def test_what_is_no_account_is_not_found(unchanged: Client, code: str, path: str) -> None:
    answer = unchanged.get("/api/v1/" + path.format(quote(code)))

    assert answer.status_code in (400, 404), answer.text
    if code == "nobody":
        is_problem(answer, 404, "ACCOUNT_NOT_FOUND")


def test_a_balance_is_of_now_or_of_then(alice: Client, conn: Connection) -> None:
    [then] = conn.execute("SELECT clock_timestamp()").fetchone() or ()
    time.sleep(0.002)
    alice.transfer("alice", "bob", "30.00")

    now = alice.get("/api/v1/accounts/alice/balance").json()
    before = alice.get("/api/v1/accounts/alice/balance", params={"as_of": then.isoformat()}).json()
    assert (now["balance"], now["seq"], now["currency"], now["account"]) == ("70.00", 2, "EUR", "alice")
    assert (before["balance"], before["seq"]) == ("100.00", 1)
    assert alice.balance("bank") == "100.00"
    long_ago = alice.get("/api/v1/accounts/alice/balance", params={"as_of": "-1d"})
    assert long_ago.status_code in (200, 404)
    is_problem(alice.get("/api/v1/accounts/alice/balance", params={"as_of": "soon"}), 400, "BAD_TIME")


def test_a_new_account_is_in_the_audit_log_with_who_asked(api: Client, conn: Connection) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    api.become("alice@example")
    headers = {"X-Request-Id": "request-7", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    api.send_change("/accounts", {"code": "alice", "currency": "EUR"}, "one", **headers)

    [line] = audit_lines(conn, "account create")
    assert (line["actor"], line["request_id"], line["trace_id"]) == ("alice@example", "request-7", trace)


def test_an_account_of_the_command_line_is_there(api: Client, ledgerctl: object) -> None:
    done: Run = ledgerctl("account", "create", "alice", "--currency", "EUR")  # type: ignore[operator]

    assert done.code == 0
    assert api.get("/api/v1/accounts/alice").json()["code"] == "alice"
