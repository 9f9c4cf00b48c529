"""The metrics server over real sockets: what it answers, to whom, and that nobody can hold it up."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

from ledgerctl import metrics, serving
from ledgerctl.errors import CannotListen
from ledgerctl.metrics import Samples
from ledgerctl.serving import Server, application

SAMPLES: Samples = {
    (metrics.TRANSACTIONS, ("main", "transfer", "posted")): 3,
    (metrics.ACCOUNTS, ("main", "active")): 7,
    (metrics.DATABASE_SIZE, ()): 8_000_000,
    (metrics.BUILD, ("1.2.3", "0007")): 1,
}
ACCEPT = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Running:
    def __init__(self, server: Server, heard: list[str]) -> None:
        self.server, self.heard, self.trouble = server, heard, ""
        self.address = "127.0.0.1", server.server_port

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
        """Status, content type and body."""
        try:
            with urlopen(Request(self.server.url + path, method=method, headers=headers), timeout=10) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.headers["Content-Type"], refusal.read().decode()


@pytest.fixture
def running() -> Iterator[Running]:
    heard: list[str] = []
    server = Server("127.0.0.1", 0, application(lambda: SAMPLES, lambda: made.trouble), heard.append)
    made = Running(server, heard)
    server.run_in_background()
    yield made
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("accept", "parse", "type_"),
    [("*/*", text, "text/plain; version="), (ACCEPT, openmetrics, "application/openmetrics-text; version=")],
)
def test_metrics_are_served_as_text_and_as_openmetrics(
    running: Running, accept: str, parse: Callable[[str], Iterable[Family]], type_: str
) -> None:
    status, content_type, body = running.get("/metrics", Accept=accept)

    assert (status, content_type.startswith(type_)) == (200, True)
    found = {
        (sample.name, *sample.labels.values()): sample.value for family in parse(body) for sample in family.samples
    }
    assert found["ledgerctl_transactions_total", "transfer", "main", "posted"] == 3
    assert found["ledgerctl_accounts", "main", "active"] == 7
    assert found["ledgerctl_database_size_bytes",] == 8_000_000
    assert found["ledgerctl_build_info", "0007", "1.2.3"] == 1
    assert found["process_open_fds",] > 0


def test_health_says_that_the_process_lives_and_ready_that_it_can_be_of_use(running: Running) -> None:
    assert running.get("/health") == (200, "text/plain; charset=utf-8", "ok\n")
    assert running.get("/ready")[::2] == (200, "ok\n")

    running.trouble = "the database is away"

    assert running.get("/health")[0] == 200
    assert running.get("/ready")[::2] == (503, "the database is away\n")


@pytest.mark.parametrize(("path", "method", "status"), [
    ("/", "GET", 404), ("/metrics/", "GET", 404), ("/metrics", "POST", 405), ("/ready", "DELETE", 405),
    ("/health", "HEAD", 200),
])  # fmt: skip
def test_there_is_nothing_else(running: Running, path: str, method: str, status: int) -> None:
    assert running.get(path, method)[0] == status


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text;version=abc", "application/openmetrics-text;version=", "\x7f,;="]
)
def test_an_accept_header_without_sense_is_answered_as_text(running: Running, accept: str) -> None:
    status, content_type, body = running.get("/metrics", Accept=accept)

    assert (status, "ledgerctl_accounts" in body) == (200, True)
    assert content_type.startswith(("text/plain", "application/openmetrics-text"))


def test_one_family_can_be_asked_for_and_the_head_alone(running: Running) -> None:
    only = running.get("/metrics?name[]=ledgerctl_accounts")[2]

    assert (only.count("# TYPE"), "ledgerctl_accounts{" in only) == (1, True)
    assert running.get("/metrics", "HEAD")[::2] == (200, "")


def test_silent_clients_hold_up_nobody_and_too_many_are_turned_away(running: Running) -> None:
    silent = [socket.create_connection(running.address) for _ in range(serving.REQUESTS_MAX - 1)]
    try:
        assert running.get("/health")[0] == 200
        silent.append(socket.create_connection(running.address))
        with socket.create_connection(running.address) as late:
            late.settimeout(10)
            assert late.recv(1) == b""
    finally:
        for one in silent:
            one.close()


def test_a_client_that_says_nothing_is_cut_off(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving._Handler, "timeout", 0.1)
    with socket.create_connection(running.address) as silent:
        silent.settimeout(10)
        silent.sendall(b"GET /metrics HTTP/1.1\r\n")
        assert silent.recv(1) == b""


def test_a_port_that_is_taken_is_said_to_be(running: Running) -> None:
    with pytest.raises(CannotListen, match=r"127\.0\.0\.1 port \d+: Address already in use"):
        Server("127.0.0.1", running.server.server_port, application(dict, str), print)
