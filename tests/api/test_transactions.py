"""What was posted over HTTP: one transaction, pages of a history, reversals."""

from __future__ import annotations

from typing import Any

import httpx2 as httpx
import pytest

from ledgerctl.db.connection import Connection
from tests.api.conftest import Client, Serve, audit_lines, filled, is_problem


def posted(api: Client, amount: str = "10.00") -> str:
    return str(api.transfer("alice", "bob", amount).json()["transaction_id"])


def reverse(api: Client, original: str, body: Any = None, key: str | None = None, **headers: str) -> httpx.Response:
    return api.send_change(f"/transactions/{original}/reverse", body, key, **headers)


def history(api: Client, code: str, **query: Any) -> dict[str, Any]:
    answer = api.get(f"/api/v1/transactions/account/{code}/history", params=query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


@pytest.mark.parametrize("reference", ["0190b0b0-0000-4000-8000-000000000001", "0" * 32])
def test_a_transaction_that_is_not_there_is_not_found(unchanged: Client, reference: str) -> None:
    is_problem(unchanged.get(f"/api/v1/transactions/{reference}"), 404, "TRANSACTION_NOT_FOUND")
    is_problem(reverse(unchanged, reference), 404, "TRANSACTION_NOT_FOUND")


@pytest.mark.parametrize("reference", ["deposit", "1", "%00", "é", "0190b0b0-0000-4000-8000-0000000000010"])
def test_what_is_no_id_is_refused(unchanged: Client, reference: str) -> None:
    is_problem(unchanged.get(f"/api/v1/transactions/{reference}"), 400, "BAD_REQUEST")


def test_the_pages_of_a_history_fit_together_though_more_is_posted_meanwhile(alice: Client) -> None:
    for n in range(1, 7):
        alice.transfer("alice", "bob", f"{n}.00", description=f"number {n}")
    found: list[dict[str, Any]] = []
    after = "0"
    for _ in range(20):
        page = history(alice, "bob", limit=2, after=after)
        assert 0 < len(page["entries"]) <= 2
        found += page["entries"]
        if page["next"] is None:
            break
        after = page["next"]
        if len(found) == 2:
            alice.transfer("alice", "bob", "7.00", description="number 7")

    assert [entry["seq"] for entry in found] == list(range(1, 8))
    assert [entry["description"] for entry in found] == [f"number {n}" for n in range(1, 8)]
    assert [entry["balance"] for entry in found] == ["1.00", "3.00", "6.00", "10.00", "15.00", "21.00", "28.00"]
    assert history(alice, "bob")["next"] is None
    assert history(alice, "bob", after=7) == {"entries": [], "next": None}
    assert history(alice, "bob", limit=7)["next"] is None
    assert history(alice, "bob", limit=6)["next"] == "6"


def test_a_page_is_no_longer_than_the_server_lets_it_be(serve: Serve) -> None:
    api = serve(api={"page_max": 2})
    filled(api)
    for _ in range(3):
        posted(api)

    page = history(api, "bob", limit=1000)
    assert (len(page["entries"]), page["next"]) == (2, "2")


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": -1}, {"limit": "x"}, {"after": -1}, {"after": 2**63},
                                   {"after": "1.5"}, {"limit": "1e3"}])  # fmt: skip
def test_what_is_no_page_is_refused(unchanged: Client, query: dict[str, Any]) -> None:
    answer = unchanged.get("/api/v1/transactions/account/bob/history", params=query)

    is_problem(answer, 400, "BAD_REQUEST")


def test_a_transaction_is_reversed_whole_and_the_same_again_is_a_replay(alice: Client) -> None:
    original = posted(alice)
    answer = reverse(alice, original, {"reason": "wrong customer"}, "undo")

    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert (told["kind"], told["status"], told["reverses"]) == ("reversal", "posted", original)
    assert answer.headers["Location"] == f"/api/v1/transactions/{told['transaction_id']}"
    again = reverse(alice, original, {"reason": "wrong customer"}, "undo")
    assert (again.headers["Idempotent-Replayed"], again.json()) == ("true", {**told, "status": "replayed"})
    assert alice.balance("bob") == "0.00"
    assert alice.get(f"/api/v1/transactions/{original}").json()["reversed_by"] == told["transaction_id"]
    assert alice.get(answer.headers["Location"]).json()["description"] == "wrong customer"


def test_a_transaction_is_reversed_once_under_whatever_key(alice: Client) -> None:
    original = posted(alice)
    first = reverse(alice, original, key="undo").json()["transaction_id"]

    problem = is_problem(reverse(alice, original, key="again"), 409, "ALREADY_REVERSED")
    assert problem["details"]["reversed_by"] == first
    is_problem(reverse(alice, first), 422, "REVERSAL_OF_REVERSAL")
    is_problem(reverse(alice, original, {"reason": "another"}, "undo"), 422, "IDEMPOTENCY_CONFLICT")
    assert alice.balance("bob") == "0.00"


def test_a_part_of_a_transaction_is_reversed(alice: Client) -> None:
    original = posted(alice)

    assert reverse(alice, original, {"amount": "4.00"}).status_code == 201
    assert alice.balance("bob") == "6.00"
    assert reverse(alice, original, {"amount": "1.00"}).status_code in (409, 422)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"amount": "100.01"}, 422, "PARTIAL_REVERSAL"),
        ({"amount": 4}, 400, "BAD_REQUEST"),
        ({"amount": "1e1"}, 400, "BAD_AMOUNT"),
        ({"amount": "1.001"}, 400, "TOO_MANY_DECIMALS"),
        ({"reason": "a\0"}, 400, "BAD_TEXT"),
        ({"why": "x"}, 400, "BAD_REQUEST"),
        ([], 400, "BAD_REQUEST"),
    ],
)
def test_what_is_no_reversal_is_refused(unchanged: Client, body: Any, status: int, code: str) -> None:
    original = unchanged.transfer("bank", "alice", "100.00", "deposit").json()["transaction_id"]

    is_problem(reverse(unchanged, original, body), status, code)
    assert unchanged.balance("alice") == "100.00"


def test_a_reversal_is_in_the_audit_log_with_who_asked(alice: Client, conn: Connection) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    original = posted(alice)
    alice.become("carol@example")
    headers = {"X-Request-Id": "request-7", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    reverse(alice, original, {"reason": "wrong"}, "undo", **headers)

    [line] = audit_lines(conn, "reversal")
    assert (line["actor"], line["request_id"], line["trace_id"]) == ("carol@example", "request-7", trace)
