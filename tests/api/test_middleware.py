"""What surrounds every request: ids, traces, limits, headers, metrics, and what of all that is logged."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.types import Message, Receive, Scope, Send

from ledgerctl import logs
from ledgerctl.api.middleware import GONE, SECURITY, Around
from ledgerctl.db.connection import Connection
from ledgerctl.services import payments
from tests.api.conftest import Client, Serve, database_away, filled, is_problem

UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Lines(logging.Handler):
    """The log as it would be written, of an API that was asked nothing before: else a last line of that might come."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logs._Json(dict))
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))

    def of(self, message: str, count: int) -> list[dict[str, Any]]:
        """Once there are so many: a line may be written a moment after its answer has come."""
        until = time.monotonic() + 5
        while True:
            found = [line for line in map(json.loads, list(self.texts)) if line["message"] == message]
            if len(found) >= count or time.monotonic() > until:
                return found
            time.sleep(0.002)


@pytest.fixture
def log() -> Iterator[Lines]:
    lines = Lines()
    logs.LOG.handlers, logs.LOG.propagate = [lines], False
    logs.LOG.setLevel(logging.INFO)
    yield lines
    logs.silence()
    logs.LOG.propagate = True
    logs.LOG.handlers = []
    logs.LOG.setLevel(logging.NOTSET)


def answers_of_every_kind(api: Client) -> Iterator[Any]:
    yield api.get("/health")
    yield api.get("/ready")
    yield api.get("/metrics")
    yield api.get("/openapi.json")
    yield api.get("/nowhere")
    yield api.delete("/health")
    yield api.get("/api/v1/accounts/nobody")
    yield api.get("/api/v1/accounts/bob", headers={"Authorization": "Bearer x"})
    yield api.account("carol")
    yield api.transfer("alice", "bob", "1.00")
    yield api.transfer("alice", "bob", 1)
    yield api.post("/api/v1/transfers", content=b"x" * 2_000_000)


def test_every_answer_has_an_id_and_the_headers_that_browsers_heed(alice: Client) -> None:
    for answer in answers_of_every_kind(alice):
        about = f"{answer.request.method} {answer.url} {answer.status_code}"
        assert {name: answer.headers.get(name) for name in SECURITY} == SECURITY, about
        assert re.fullmatch(UUID, answer.headers["X-Request-Id"]), about
        assert "server" not in answer.headers
        assert not {"access-control-allow-origin", "traceparent"} & answer.headers.keys(), about


def test_a_bug_is_answered_as_everything_is_and_told_without_its_words(
    api: Client, log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_given: object, **_named: object) -> None:
        raise RuntimeError("canary-words")

    monkeypatch.setattr(payments, "post_all", broken)
    monkeypatch.setattr("ledgerctl.db.reports.require_account", broken)
    listed = {"transfers": [{"from": "alice", "to": "bob", "amount": "1.00"}]}
    for answer in (api.send_change("/transfers", listed), api.get("/api/v1/accounts/bob")):
        problem = is_problem(answer, 500, "BUG")
        assert answer.headers["X-Request-Id"]
        assert {name: answer.headers.get(name) for name in SECURITY} == SECURITY
        assert "canary" not in json.dumps(problem)
    failed = log.of("failed", 2)
    assert [line["error"] for line in failed] == ["RuntimeError"] * 2
    assert "broken" in failed[0]["trace"][-1]
    assert [line["status"] for line in log.of("answered", 2)] == [500, 500]
    assert "canary" not in "".join(log.texts)


def test_a_caller_who_hangs_up_while_he_sends_is_no_failure_of_ours(api: Client, log: Lines) -> None:
    address = urlsplit(str(api.base_url))
    for path in ("transfers", "accounts"):
        with socket.create_connection((str(address.hostname), address.port or 0), timeout=10) as caller:
            caller.sendall(
                f"POST /api/v1/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: {api.headers['Authorization']}\r\n"
                'Content-Type: application/json\r\nIdempotency-Key: one\r\nContent-Length: 1000\r\n\r\n{"from"'.encode()
            )
            time.sleep(0.2)  # else it is not taken before it is gone

    answered = log.of("answered", 2)
    assert [line["level"] for line in answered] == ["info"] * 2
    assert answered[0]["status"] == GONE
    assert log.of("failed", 0) == []


def test_a_request_id_is_taken_over_if_it_can_stand_in_a_log(unchanged: Client) -> None:
    assert unchanged.get("/health", headers={"X-Request-Id": "web-7:1_a.b"}).headers["X-Request-Id"] == "web-7:1_a.b"
    for wrong in ("a b", "a" * 65, "", 'a"b', "é"):
        given = unchanged.get("/health", headers={b"X-Request-Id": wrong.encode()}).headers["X-Request-Id"]
        assert re.fullmatch(UUID, given)


def test_a_trace_is_taken_over_if_it_is_one(api: Client, log: Lines) -> None:
    assert api.get("/health", headers={"traceparent": TRACEPARENT}).headers["traceparent"] == TRACEPARENT
    for wrong in ("x", TRACEPARENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32), "ff" + TRACEPARENT[2:]):
        assert "traceparent" not in api.get("/health", headers={"traceparent": wrong}).headers
    assert [line["trace_id"] for line in log.of("answered", 4)] == [TRACEPARENT[3:35], None, None, None]


def test_the_access_log_says_who_asked_for_what_and_how_it_ended_and_nothing_of_accounts_and_texts(
    api: Client, log: Lines
) -> None:
    api.become("canary-free-subject")
    api.account("canary-bank", type="asset", name="canary name", metadata={"canary": "canary"})
    api.account("canary-alice")
    made = api.transfer("canary-bank", "canary-alice", "77.31", "canary-key", description="canary text")
    assert made.status_code == 201
    api.transfer("canary-alice", "canary-bank", "7731.00", reference="canary reference")
    api.get("/api/v1/accounts/canary-alice/balance", params={"as_of": "canary"})
    api.get("/api/v1/accounts/canary-nobody")
    api.get("/canary-path?canary=canary")
    api.account("canary alice")

    lines = log.of("answered", 8)
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [
        ("POST", "/api/v1/accounts", 201),
        ("POST", "/api/v1/accounts", 201),
        ("POST", "/api/v1/transfers", 201),
        ("POST", "/api/v1/transfers", 422),
        ("GET", "/api/v1/accounts/{code}/balance", 400),
        ("GET", "/api/v1/accounts/{code}", 404),
        ("GET", "none", 404),
        ("POST", "/api/v1/accounts", 400),
    ]
    assert {line["actor"] for line in lines} == {"canary-free-subject", None}
    assert lines[2]["request_id"] == made.headers["X-Request-Id"]
    assert all(0 < line["duration_s"] < 60 for line in lines)
    assert "canary" not in "".join(log.texts).replace("canary-free-subject", "")
    assert "77" not in "".join(f"{line['route']}{line.get('detail')}" for line in lines)


# -- limits ----------------------------------------------------------------------------------------------------------


def test_a_body_that_is_too_large_is_refused_whether_or_not_it_says_so(serve: Serve) -> None:
    api = serve(api={"body_max_bytes": 2000})
    filled(api)
    body = json.dumps({"from": "alice", "to": "bob", "amount": "1.00", "description": "x" * 2000}).encode()
    headers = {"Idempotency-Key": "one", "Content-Type": "application/json"}

    is_problem(api.post("/api/v1/transfers", content=body, headers=headers), 413, "BODY_TOO_LARGE")
    is_problem(api.post("/api/v1/transfers", content=iter([body[:1000], body[1000:]]), headers=headers), 413,
               "BODY_TOO_LARGE")  # fmt: skip
    assert api.balance("bob") == "0.00"
    huge = (b"x" * 65536 for _ in range(64))
    is_problem(api.post("/api/v1/transfers", content=huge, headers=headers), 413, "BODY_TOO_LARGE")
    small = json.dumps({"from": "alice", "to": "bob", "amount": "1.00"}).encode()
    assert api.post("/api/v1/transfers", content=iter([small[:9], small[9:]]), headers=headers).status_code == 201


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(alice: Client) -> None:
    address = urlsplit(str(alice.base_url))
    with socket.create_connection((str(address.hostname), address.port or 0), timeout=10) as caller:
        caller.sendall(b"POST /api/v1/transfers HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
        answer = http.client.HTTPResponse(caller)
        answer.begin()
        assert answer.status == 413


def test_whoever_asks_too_often_waits_and_others_do_not(serve: Serve) -> None:
    api = serve(api={"requests": 3, "window_s": 60})
    answers = [api.get("/api/v1/accounts/nobody") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [404, 404, 404, 429]
    is_problem(answers[-1], 429, "TOO_MANY_REQUESTS")
    last = answers[-1].headers
    assert (last["RateLimit-Limit"], last["RateLimit-Remaining"], last["RateLimit-Policy"]) == ("3", "0", "3;w=60")
    assert 0 < int(last["Retry-After"]) <= 60
    assert 0 < int(last["RateLimit-Reset"]) <= 60
    assert api.get("/health").status_code == 200
    api.become("another")
    assert api.get("/api/v1/accounts/nobody").status_code == 404


def test_who_may_not_ask_anew_may_still_ask_what_became_of_a_payment(serve: Serve) -> None:
    """Kept from asking, he would make another."""
    api = serve(api={"requests": 4, "window_s": 3600})
    filled(api)

    anew, again = api.transfer("bank", "alice", "100.00", "second"), api.transfer("bank", "alice", "100.00", "deposit")

    is_problem(anew, 429, "TOO_MANY_REQUESTS")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert again.headers["RateLimit-Policy"] == "600;w=60"
    api.become("another")
    assert api.transfer("bank", "alice", "1.00", "other").status_code == 201
    api.become("tester")
    is_problem(api.transfer("bank", "alice", "1.00", "other"), 429, "TOO_MANY_REQUESTS")


def test_every_answer_to_a_caller_says_how_often_he_may_still_ask(alice: Client) -> None:
    left = []
    for answer in (alice.get("/api/v1/accounts/bob"), alice.get("/api/v1/accounts/nobody"),
                   alice.transfer("alice", "bob", "1.00"), alice.transfer("alice", "bob", "9999.00")):  # fmt: skip
        assert answer.headers["RateLimit-Policy"] == "6000;w=60", answer.text
        left.append(int(answer.headers["RateLimit-Remaining"]))
    assert all(5900 < one < 6000 for one in left)  # what was used comes back, a hundred a second


# -- operations ------------------------------------------------------------------------------------------------------


def test_metrics_count_answers_by_the_template_of_their_route(alice: Client) -> None:
    alice.get("/api/v1/accounts/bob")
    alice.get("/api/v1/accounts/canary-nobody")
    alice.get("/canary")

    answer = alice.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    route = 'ledgerctl_http_requests_total{method="GET",route="/api/v1/accounts/{code}",status="%s"} 1.0'
    assert route % 200 in answer.text
    assert route % 404 in answer.text
    assert 'route="none"' in answer.text
    assert "canary" not in answer.text


def test_whoever_is_cut_off_when_the_server_has_waited_long_enough_is_told_so() -> None:
    """His change may have been made, and asking again tells; a question may be asked again anywhere."""

    async def hangs(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.Event().wait()

    async def cut_off(method: str) -> list[Message]:
        told: list[Message] = []

        async def send(message: Message) -> None:
            told.append(message)

        scope = {"type": "http", "method": method, "path": "/", "headers": [], "query_string": b""}
        around = Around(hangs, 1000, lambda *_: None)
        task = asyncio.create_task(around(scope, asyncio.Queue[Message]().get, send))
        await asyncio.sleep(0)
        task.cancel()
        await task
        return told

    for method, code in (("POST", "OUTCOME_UNKNOWN"), ("GET", "DATABASE_UNAVAILABLE")):
        start, body = asyncio.run(cut_off(method))
        assert (start["status"], json.loads(body["body"])["code"]) == (503, code)


def test_whoever_takes_too_long_to_send_is_hung_up_on(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledgerctl.api.protocol.REQUEST_S", 0.2)
    address = urlsplit(str(serve().base_url))
    begun = b"POST /api/v1/accounts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n"
    for sent in (b"", begun, begun + b"\r\n{"):
        with socket.create_connection((str(address.hostname), address.port or 0), timeout=10) as caller:
            caller.sendall(sent)
            assert caller.recv(1000) == b""


def test_it_is_ready_without_redis(serve: Serve) -> None:
    assert serve(redis={"url": "redis://127.0.0.1:1"}).get("/ready").status_code == 200


def test_after_the_database_was_away_the_first_who_asks_is_answered(alice: Client, conn: Connection) -> None:
    assert alice.balance("alice") == "100.00"
    with database_away(conn):
        pass

    assert alice.get("/ready").status_code == 200
    assert alice.balance("alice") == "100.00"


def test_it_is_ready_while_the_database_is(serve: Serve, conn: Connection) -> None:
    api = serve(database={"connect_timeout_s": 1})
    assert (api.get("/ready").status_code, api.get("/ready").json()) == (200, {"status": "ok"})
    with database_away(conn):
        away = api.get("/ready")
        assert (away.status_code, away.json()) == (503, {"status": "unavailable"})


def test_threads_that_end_take_their_connections_with_them(alice: Client, conn: Connection, monkeypatch: Any) -> None:
    from anyio._backends._asyncio import WorkerThread

    monkeypatch.setattr(WorkerThread, "MAX_IDLE_TIME", 0.3)

    def connections() -> int:
        [found] = conn.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone() or (0,)
        return int(found)

    most = 0
    for _ in range(3):
        with ThreadPoolExecutor(16) as callers:
            assert all(list(callers.map(lambda _n: alice.balance("bob"), range(160))))
        most = max(most, connections())
        time.sleep(0.5)
        alice.balance("bob")
        until = time.monotonic() + 5
        while connections() > 6 and time.monotonic() < until:
            time.sleep(0.05)
        assert connections() <= 6  # one that reads, two that post, the one for metrics
    assert most > 6


# -- browsers --------------------------------------------------------------------------------------------------------


def test_a_web_page_may_ask_only_where_its_origin_is_named(serve: Serve) -> None:
    asking = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST",
              "Access-Control-Request-Headers": "authorization,idempotency-key"}  # fmt: skip
    closed, opened = serve(), serve(api={"cors": "https://a.example, https://b.example"})

    assert "access-control-allow-origin" not in closed.options("/api/v1/transfers", headers=asking).headers
    allowed = opened.options("/api/v1/transfers", headers=asking)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://a.example")
    asking["Origin"] = "https://c.example"
    assert "access-control-allow-origin" not in opened.options("/api/v1/transfers", headers=asking).headers
