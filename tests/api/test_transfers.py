"""Transfers over HTTP: once, whatever happens; several as one, or each by itself."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import Any
from uuid import UUID

import psycopg
import pytest

from ledgerctl import errors
from ledgerctl.api import transfers
from ledgerctl.core.model import Kind, Transaction
from ledgerctl.db.connection import Connection
from ledgerctl.services import accounts
from ledgerctl.services.books import Books
from ledgerctl.services.payments import Receipt
from tests.api.conftest import Client, Serve, audit_lines, database_away, filled, is_problem

WAITING = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
TRACE = "0af7651916cd43dd8448eb211c80319c"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
RECEIPT = Receipt(Transaction(UUID(int=1), Kind.TRANSFER, "k", NOW, NOW, None, None, None, None, None, None, ()), False)
ORIGIN = {"X-Request-Id": "request-7", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}


def move(source: str, target: str, amount: str, **others: Any) -> dict[str, Any]:
    return {"from": source, "to": target, "amount": amount, **others}


def test_a_transfer_is_posted_and_answered_with_its_entries(alice: Client) -> None:
    answer = alice.transfer("alice", "bob", "12.50", "order-1", currency="EUR", description="Rent · März ✓",
                            reference="r-1", metadata={"order": "1"}, effective_at="2026-01-31")  # fmt: skip

    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert answer.headers["Location"] == f"/api/v1/transactions/{told['transaction_id']}"
    assert "Idempotent-Replayed" not in answer.headers
    assert (told["status"], told["kind"], told["idempotency_key"]) == ("posted", "transfer", "order-1")
    assert told["entries"] == [
        {"account": "alice", "debit": "12.50", "credit": None, "currency": "EUR", "balance": "87.50"},
        {"account": "bob", "debit": None, "credit": "12.50", "currency": "EUR", "balance": "12.50"},
    ]
    shown = alice.get(answer.headers["Location"]).json()
    assert (shown["description"], shown["reference"], shown["metadata"]) == ("Rent · März ✓", "r-1", {"order": "1"})
    assert shown["effective_at"].startswith("2026-01-31T00:00:00")


def test_a_repeated_transfer_is_answered_with_the_same_body_and_posts_nothing(alice: Client) -> None:
    first = alice.transfer("alice", "bob", "12.50", "order-1")
    alice.transfer("alice", "bob", "1.00")
    again = alice.transfer("alice", "bob", "12.50", "order-1")

    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert again.headers["Location"] == first.headers["Location"]
    assert again.json() == {**first.json(), "status": "replayed"}
    assert alice.balance("bob") == "13.50"


def test_a_replay_stays_one_after_a_freeze(alice: Client, books: Books) -> None:
    first = alice.transfer("alice", "bob", "12.50", "order-1")
    accounts.freeze(books, "bob")

    assert alice.transfer("alice", "bob", "12.50", "order-1").json() == {**first.json(), "status": "replayed"}
    is_problem(alice.transfer("alice", "bob", "12.50", "order-2"), 422, "ACCOUNT_FROZEN")


@pytest.mark.parametrize(
    "change", [{"amount": "12.51"}, {"to": "bank"}, {"description": "x"}, {"metadata": {"a": "b"}}]
)
def test_a_key_that_was_used_for_another_transfer_is_refused(alice: Client, change: dict[str, Any]) -> None:
    alice.transfer("alice", "bob", "12.50", "order-1")

    answer = alice.send_change("/transfers", {**move("alice", "bob", "12.50"), **change}, "order-1")

    problem = is_problem(answer, 422, "IDEMPOTENCY_CONFLICT")
    assert problem["details"]["fields"]
    assert alice.balance("bob") == "12.50"


REVERSE = "/transactions/01890000-0000-7000-8000-000000000000/reverse"


@pytest.mark.parametrize("path", ["/accounts", "/transfers", REVERSE])
@pytest.mark.parametrize("key", [None, ""])
def test_every_change_needs_a_key(unchanged: Client, path: str, key: str | None) -> None:
    body = {"/accounts": {"code": "carol", "currency": "EUR"}, "/transfers": move("alice", "bob", "1")}.get(path, {})
    headers = {} if key is None else {"Idempotency-Key": key}

    is_problem(unchanged.post(f"/api/v1{path}", json=body, headers=headers), 400, "NO_IDEMPOTENCY_KEY")
    assert unchanged.balance("bob") == "0.00"


def test_a_key_is_a_text_of_255_characters(alice: Client) -> None:
    is_problem(alice.transfer("alice", "bob", "1.00", "k" * 256), 400, "BAD_TEXT")
    assert alice.transfer("alice", "bob", "1.00", "k" * 255).status_code == 201


@pytest.mark.parametrize(
    ("amount", "status", "code"),
    [
        ("1e3", 400, "BAD_AMOUNT"),
        ("-5", 400, "BAD_AMOUNT"),
        ("0", 400, "BAD_AMOUNT"),
        ("0.00", 400, "BAD_AMOUNT"),
        ("", 400, "BAD_AMOUNT"),
        ("NaN", 400, "BAD_AMOUNT"),
        ("5,00", 400, "BAD_AMOUNT"),
        ("\u0665", 400, "BAD_AMOUNT"),
        ("5\0", 400, "BAD_AMOUNT"),
        ("5.001", 400, "TOO_MANY_DECIMALS"),
        (6, 400, "BAD_REQUEST"),
        (6.5, 400, "BAD_REQUEST"),
        (True, 400, "BAD_REQUEST"),
        (None, 400, "BAD_REQUEST"),
        ("1000000", 422, "INSUFFICIENT_FUNDS"),
        ("9" * 24, 422, "INSUFFICIENT_FUNDS"),
        ("9" * 5000, 400, "BAD_AMOUNT"),
    ],
)
def test_what_is_no_amount_is_refused(unchanged: Client, amount: Any, status: int, code: str) -> None:
    is_problem(unchanged.transfer("alice", "bob", amount), status, code)

    assert unchanged.balance("bob") == "0.00"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"to": "nobody"}, 422, "ACCOUNT_NOT_FOUND"),
        ({"to": "alice"}, 422, "SAME_ACCOUNT"),
        ({"to": "a b"}, 400, "BAD_ACCOUNT_CODE"),
        ({"to": "bob\0"}, 400, "BAD_ACCOUNT_CODE"),
        ({"currency": "USD"}, 422, "CURRENCY_MISMATCH"),
        ({"currency": "eur"}, 400, "BAD_TEXT"),
        ({"description": "a\0b"}, 400, "BAD_TEXT"),
        ({"description": "\ud83d"}, 400, "BAD_REQUEST"),
        ({"description": "a" * 1001}, 400, "BAD_REQUEST"),
        ({"reference": "a\u0085b"}, 400, "BAD_TEXT"),
        ({"reference": "a" * 256}, 400, "BAD_TEXT"),
        ({"metadata": {"a": "\0"}}, 400, "BAD_TEXT"),
        ({"metadata": {"a": {"b": "c"}}}, 400, "BAD_REQUEST"),
        ({"effective_at": "2026-02-30"}, 400, "BAD_TIME"),
        ({"effective_at": 20260131}, 400, "BAD_REQUEST"),
        ({"fee": "1.00"}, 400, "BAD_REQUEST"),
        ({"source": "alice"}, 400, "BAD_REQUEST"),
        ({"transfers": []}, 400, "BAD_REQUEST"),
    ],
)
def test_what_is_no_transfer_is_refused(unchanged: Client, change: dict[str, Any], status: int, code: str) -> None:
    answer = unchanged.send_change("/transfers", {**move("alice", "bob", "1.00"), **change})

    is_problem(answer, status, code)
    assert unchanged.balance("bob") == "0.00"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ("", 400), ("{", 400), ("[]", 400), ("null", 400), ('"a"', 400), ("{}", 400), ("[" * 100_000, 400),
        ('{"amount": ' + "9" * 5000 + "}", 400), ("\ud800".encode("utf-8", "surrogatepass"), 400),
    ],
)  # fmt: skip
def test_what_is_no_json_object_is_refused(unchanged: Client, content: str | bytes, status: int) -> None:
    headers = {"Idempotency-Key": "one", "Content-Type": "application/json"}
    answer = unchanged.post("/api/v1/transfers", content=content, headers=headers)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


@pytest.mark.parametrize("content", ["", "{", '{"a": tru}', "[1, 2"])
def test_what_is_no_json_is_told_as_every_other_route_tells_it(unchanged: Client, content: str) -> None:
    headers = {"Idempotency-Key": "one", "Content-Type": "application/json"}
    ours, theirs = (
        is_problem(unchanged.post(f"/api/v1/{path}", content=content, headers=headers), 400, "BAD_REQUEST")
        for path in ("transfers", "accounts")
    )
    assert ours == theirs


def test_of_a_body_nothing_is_told_to_whoever_may_not_send_it(unchanged: Client) -> None:
    for token, status, code in ((unchanged.token("reader", "read"), 403, "FORBIDDEN"), ("x", 401, "UNAUTHORIZED")):
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        is_problem(unchanged.post("/api/v1/transfers", content="{", headers=headers), status, code)


def test_transfers_are_posted_and_nothing_else(unchanged: Client) -> None:
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        answer = unchanged.request(method, "/api/v1/transfers")
        is_problem(answer, 405, "METHOD_NOT_ALLOWED")
        assert answer.headers["Allow"] == "POST"


def test_what_does_not_say_that_it_is_json_is_refused(unchanged: Client) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        headers = {"Idempotency-Key": "one", "Content-Type": kind}
        answer = unchanged.post("/api/v1/transfers", content=json.dumps(move("alice", "bob", "1.00")), headers=headers)
        is_problem(answer, 415, "NOT_JSON")
    assert unchanged.balance("bob") == "0.00"


def test_a_field_that_stands_twice_is_refused(unchanged: Client) -> None:
    """Whoever looked at it before may have gone by the other one."""
    headers = {"Idempotency-Key": "one", "Content-Type": "application/json"}
    for content in (
        '{"from": "alice", "to": "bob", "amount": "1.00", "amount": "2.00"}',
        '{"transfers": [{"from": "alice", "to": "bob", "to": "bank", "amount": "1.00"}]}',
    ):
        answer = unchanged.post("/api/v1/transfers", content=content, headers=headers)
        assert "twice" in is_problem(answer, 400, "BAD_REQUEST")["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"transfers": [{"a": 1}] * 50_000},
        {"transfers": [1] * 100_000},
        {"transfers": [{f"a{n}": 1 for n in range(50_000)}]},
        {f"a{n}": 1 for n in range(50_000)},
        {f"a{n}": 1 for n in range(50)},
        {**move("alice", "bob", "1.00"), "metadata": {str(n): n for n in range(50_000)}},
    ],
    ids=["items", "numbers", "fields of an item", "fields", "fields that are looked at", "metadata"],
)
def test_of_much_that_is_wrong_little_is_told(unchanged: Client, body: dict[str, Any]) -> None:
    answer = unchanged.send_change("/transfers", body)

    assert len(is_problem(answer, 400, "BAD_REQUEST")["errors"]) <= 20
    assert len(answer.content) < 10_000


def keyed(api: Client, *keys: bytes) -> tuple[int, dict[str, Any]]:
    """A transfer of 1.00 with these as they are in the headers, as no tidy client would send them."""
    body = json.dumps(move("alice", "bob", "1.00")).encode()
    with closing(HTTPConnection(api.base_url.host, api.base_url.port or 0, timeout=10)) as caller:
        caller.putrequest("POST", "/api/v1/transfers")
        caller.putheader("Authorization", api.headers["Authorization"])
        caller.putheader("Content-Type", "application/json")
        caller.putheader("Content-Length", str(len(body)))
        for key in keys:
            caller.putheader("Idempotency-Key", key)
        caller.endheaders(body)
        answer = caller.getresponse()
        return answer.status, json.loads(answer.read())


def test_of_a_list_no_more_is_looked_at_than_the_first_that_is_wrong(unchanged: Client) -> None:
    """A million of them would be looked at for seconds, in which nobody else is answered."""
    good = move("alice", "bob", "1.00")
    answer = unchanged.send_change("/transfers", {"transfers": [good, {"a": 1}, {"b": 1}, 1]})

    places = [wrong["at"] for wrong in is_problem(answer, 400, "BAD_REQUEST")["errors"]]
    assert "body.transfers.1.a" in places
    assert all(place.startswith("body.transfers.1.") for place in places)


def test_a_key_is_what_everybody_on_the_way_takes_it_for(alice: Client) -> None:
    first, again = keyed(alice, b"one"), keyed(alice, b" one\t ")
    assert [(status, told["status"], told["idempotency_key"]) for status, told in (first, again)] == [
        (201, "posted", "one"), (201, "replayed", "one"),
    ]  # fmt: skip
    for keys in ([b"two", b"three"], ["é".encode()], [b"\xe9"], [b"a\tb"]):
        assert keyed(alice, *keys)[0] == 400, keys
    assert alice.balance("bob") == "1.00"


def test_a_validation_problem_names_the_place_and_not_the_value(unchanged: Client) -> None:
    problem = is_problem(unchanged.transfer("alice", "bob", 123456.5), 400, "BAD_REQUEST")

    assert [wrong["at"] for wrong in problem["errors"] if wrong["at"].endswith("amount")]
    assert "123456" not in json.dumps(problem)


# -- several at once -------------------------------------------------------------------------------------------------


def test_of_a_list_every_transfer_is_posted(alice: Client) -> None:
    body = {"transfers": [move("alice", "bob", "10.00"), move("bob", "bank", "4.00", idempotency_key="own")]}
    answer = alice.send_change("/transfers", body, "list")

    assert answer.status_code == 201, answer.text
    first, second = answer.json()["results"]
    assert [first["status"], first["idempotency_key"]] == ["posted", "list:1"]
    assert [second["status"], second["idempotency_key"]] == ["posted", "own"]
    assert (alice.balance("alice"), alice.balance("bob"), alice.balance("bank")) == ("90.00", "6.00", "96.00")

    again = alice.send_change("/transfers", body, "list")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == {"results": [{**first, "status": "replayed"}, {**second, "status": "replayed"}]}
    assert alice.balance("bob") == "6.00"


def test_of_a_list_nothing_is_posted_when_one_is_refused_and_the_problem_says_which(
    alice: Client, conn: Connection
) -> None:
    body = {"transfers": [move("alice", "bob", "10.00"), move("bob", "bank", "11.00"), move("bob", "bank", "12.00")]}
    problem = is_problem(alice.send_change("/transfers", body, "list"), 422, "INSUFFICIENT_FUNDS")

    assert problem["details"]["number"] == 2
    assert (alice.balance("alice"), alice.balance("bob")) == ("100.00", "0.00")
    assert [line["subject"] for line in audit_lines(conn, "transfer") if line["outcome"] == "refused"] == [
        "list:2", "list:3"
    ]  # fmt: skip

    body["transfers"] = body["transfers"][:1]
    assert alice.send_change("/transfers", body, "list").json()["results"][0]["status"] == "posted"


def test_of_a_list_each_stands_by_itself_where_that_is_asked_for(alice: Client) -> None:
    transfers = [move("alice", "bob", "10.00"), move("bob", "bank", "11.00"), move("bob", "bank", "1.00"),
                 move("nobody", "bob", "1.00")]  # fmt: skip
    answer = alice.send_change("/transfers", {"mode": "each", "transfers": transfers}, "list")

    assert answer.status_code == 201
    assert "Idempotent-Replayed" not in answer.headers
    results = answer.json()["results"]
    assert [result["status"] for result in results] == ["posted", "refused", "posted", "refused"]
    assert [results[n]["problem"]["code"] for n in (1, 3)] == ["INSUFFICIENT_FUNDS", "ACCOUNT_NOT_FOUND"]
    assert [results[n]["problem"]["status"] for n in (1, 3)] == [422, 422]
    assert alice.balance("bob") == "9.00"


@pytest.mark.parametrize("mode", ["all", "each"])
def test_what_cannot_be_read_in_a_list_stops_all_of_it(unchanged: Client, mode: str) -> None:
    body = {"mode": mode, "transfers": [move("alice", "bob", "10.00"), move("alice", "bob", "1e3")]}

    problem = is_problem(unchanged.send_change("/transfers", body), 400, "BAD_AMOUNT")
    assert problem["details"]["number"] == 2
    assert unchanged.balance("bob") == "0.00"


def test_a_key_that_stands_twice_in_a_list_posts_once(alice: Client) -> None:
    twice = [move("alice", "bob", "10.00", idempotency_key="same")] * 2
    answer = alice.send_change("/transfers", {"transfers": twice})

    first, second = answer.json()["results"]
    assert second == {**first, "status": "replayed"}
    assert "Idempotent-Replayed" not in answer.headers
    assert alice.balance("bob") == "10.00"

    other = [move("alice", "bob", "1.00", idempotency_key="k"), move("alice", "bob", "2.00", idempotency_key="k")]
    problem = is_problem(alice.send_change("/transfers", {"transfers": other}), 422, "DUPLICATE_KEY")
    assert problem["details"] == {"key": "k", "number": 2}
    each = alice.send_change("/transfers", {"transfers": other, "mode": "each"}).json()["results"]
    assert [result["status"] for result in each] == ["posted", "refused"]
    assert alice.balance("bob") == "11.00"


def test_a_list_that_is_too_long_is_refused(serve: Serve) -> None:
    api = serve(api={"list_max": 2})
    filled(api)

    three = {"transfers": [move("alice", "bob", "1.00")] * 3}
    is_problem(api.send_change("/transfers", three), 413, "LIST_TOO_LONG")
    assert api.balance("bob") == "0.00"
    assert api.send_change("/transfers", {"transfers": three["transfers"][:2]}).status_code == 201
    is_problem(api.send_change("/transfers", {"transfers": []}), 400, "BAD_REQUEST")


# -- many callers ----------------------------------------------------------------------------------------------------


def test_the_same_transfer_from_many_callers_is_posted_once(alice: Client) -> None:
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda _n: alice.transfer("alice", "bob", "10.00", "once"), range(8)))

    assert [answer.status_code for answer in answers] == [201] * 8
    assert sorted(answer.json()["status"] for answer in answers) == ["posted"] + ["replayed"] * 7
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 7
    assert len({answer.json()["transaction_id"] for answer in answers}) == 1
    assert alice.balance("bob") == "10.00"


def test_a_refusal_touches_no_other_caller(alice: Client) -> None:
    amounts = ["1.00", "500.00"] * 8
    with ThreadPoolExecutor(16) as callers:
        answers = list(callers.map(lambda amount: alice.transfer("alice", "bob", amount), amounts))

    assert [answer.status_code for answer in answers] == [201, 422] * 8
    assert alice.balance("bob") == "8.00"


def test_what_is_busy_may_be_sent_again(serve: Serve, conninfo: str) -> None:
    """So may the same request while the first is still waited for."""
    api = serve(database={"lock_timeout_ms": 100, "deadline_s": 0.5, "retry_attempts": 2})
    filled(api)
    listed = {"transfers": [move("alice", "bob", "1.00")]}
    with psycopg.connect(conninfo) as other:
        other.execute("SELECT FROM accounts WHERE code = 'bob' FOR UPDATE")
        with ThreadPoolExecutor(2) as callers:
            both = list(callers.map(lambda _n: api.transfer("alice", "bob", "10.00", "once"), range(2)))
        for answer in (*both, api.send_change("/transfers", listed, "list")):
            problem = is_problem(answer, 409, "TRY_AGAIN")
            assert answer.headers["Retry-After"] == "1"
            assert "SELECT" not in json.dumps(problem)
    assert api.balance("bob") == "0.00"

    assert api.transfer("alice", "bob", "10.00", "once").json()["status"] == "posted"
    assert api.balance("bob") == "10.00"


def test_while_an_account_is_busy_others_are_not(alice: Client, conninfo: str, conn: Connection) -> None:
    alice.account("carol")
    with psycopg.connect(conninfo) as other, ThreadPoolExecutor(1) as caller:
        other.execute("SELECT FROM accounts WHERE code = 'bob' FOR UPDATE")
        waiting = caller.submit(alice.transfer, "alice", "bob", "10.00")
        while not conn.execute(WAITING).fetchall():
            assert not waiting.done()
            time.sleep(0.005)
        assert alice.transfer("bank", "carol", "10.00").status_code == 201
        assert not waiting.done()
        other.rollback()
        assert waiting.result().status_code == 201


def test_when_the_database_goes_away_the_same_again_is_safe(serve: Serve, conn: Connection) -> None:
    api = serve(database={"deadline_s": 1.0, "connect_timeout_s": 1})
    filled(api)
    with database_away(conn):
        for answer in (
            api.transfer("alice", "bob", "10.00", "once"),
            api.send_change("/transfers", {"transfers": [move("alice", "bob", "1.00")]}, "list"),
            api.account("carol"),
            api.get("/api/v1/accounts/bob"),
        ):
            assert answer.status_code == 503, answer.text
            assert answer.json()["code"] in ("DATABASE_UNAVAILABLE", "OUTCOME_UNKNOWN")
            assert conn.info.dbname not in answer.text  # nor anything else of where it is
            assert answer.headers["Retry-After"] == "1"
        assert api.get("/health").status_code == 200

    assert api.transfer("alice", "bob", "10.00", "once").status_code == 201
    assert api.balance("bob") == "10.00"


# -- the audit log ---------------------------------------------------------------------------------------------------


def test_the_audit_log_has_who_asked_in_which_request_and_trace(alice: Client, conn: Connection) -> None:
    alice.become("carol@example")
    alice.send_change("/transfers", move("alice", "bob", "1.00"), "single", **ORIGIN)
    alice.send_change("/transfers", move("alice", "bob", "9999.00"), "refused", **ORIGIN)
    listed = {"transfers": [move("alice", "bob", "1.00"), move("alice", "bob", "1.00")]}
    alice.send_change("/transfers", listed, "list", **ORIGIN)
    listed["transfers"].append(move("alice", "bob", "9999.00"))
    alice.send_change("/transfers", {**listed, "mode": "each"}, "each", **ORIGIN)
    alice.send_change("/transfers", listed, "stopped", **ORIGIN)

    lines = [line for line in audit_lines(conn, "transfer") if line["actor"] != "tester"]
    assert [line["outcome"] for line in lines] == [
        "posted", "refused", "posted", "posted", "posted", "posted", "refused", "refused",
    ]  # fmt: skip
    assert {(line["actor"], line["request_id"], line["trace_id"]) for line in lines} == {
        ("carol@example", "request-7", TRACE)
    }


def test_those_who_share_a_transaction_are_told_apart_in_the_audit_log(alice: Client, conn: Connection) -> None:
    tokens = [alice.token(f"caller-{n}") for n in range(8)]
    begin = threading.Barrier(8)

    def ask(n: int) -> None:
        begin.wait()
        headers = {"Authorization": f"Bearer {tokens[n]}", "X-Request-Id": f"request-{n}",
                   "traceparent": f"00-{n + 1:032x}-b7ad6b7169203331-01"}  # fmt: skip
        answer = alice.send_change("/transfers", move("alice", "bob", "1.00"), f"key-{n}", **headers)
        assert answer.status_code == 201

    with ThreadPoolExecutor(8) as callers:
        list(callers.map(ask, range(8)))

    rows = conn.execute(
        "SELECT t.idempotency_key, a.actor, a.request_id, a.trace_id FROM audit_logs a"
        " JOIN transactions t ON t.id::text = a.subject WHERE t.idempotency_key LIKE 'key-%'"
    ).fetchall()
    assert sorted(rows) == [(f"key-{n}", f"caller-{n}", f"request-{n}", f"{n + 1:032x}") for n in range(8)]


def test_who_has_gone_away_keeps_nobody_from_hearing() -> None:
    """A request that is cut off when the server is stopped; those beside it are answered."""

    async def heard() -> list[str]:
        loop = asyncio.get_running_loop()
        gone, refused, posted = (loop.create_future() for _ in range(3))
        gone.cancel()
        told = [(one, RECEIPT) for one in (gone, posted)]
        transfers._tell([told[0], (refused, errors.AccountFrozen(account="bob")), told[1]])
        await asyncio.wait([refused, posted], timeout=60)
        return [type(refused.exception()).__name__, (await posted).status]

    assert asyncio.run(heard()) == ["AccountFrozen", "posted"]


def test_a_loop_that_has_ended_hears_nothing() -> None:
    loop = asyncio.new_event_loop()
    waiting = loop.create_future()
    loop.close()

    transfers._tell([(waiting, RECEIPT)])
    assert not waiting.done()
