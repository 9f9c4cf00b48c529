"""Pushgateways to push to: a real one, one that writes down what it is sent, and some that are of no use."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

BINARY = shutil.which("prometheus-pushgateway") or shutil.which("pushgateway")


@contextmanager
def real(directory: Path) -> Iterator[str]:
    """The URL of a Pushgateway of its own, which keeps nothing on disk."""
    if BINARY is None:
        pytest.skip("there is no Pushgateway here (Debian: prometheus-pushgateway)")
    log = directory / "pushgateway.log"
    with log.open("w") as out:
        # Port 0: the system chooses one that is free, and the log says which.
        command = [BINARY, "--web.listen-address=127.0.0.1:0", "--persistence.file="]
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        while not (found := re.search(r"Listening on\W+address=(\S+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            time.sleep(0.02)
        with urlopen(f"http://{found[1]}/-/ready") as answer:
            assert answer.status == 200
        yield f"http://{found[1]}"
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it came."""

    method: str
    path: str
    authorization: str | None
    body: str

    @property
    def values(self) -> dict[str, float]:
        """The samples by name, each without labels."""
        found = samples(self.body)
        assert all(labels == {} for labels, _ in found.values())
        return {name: value for name, (_, value) in found.items()}


@dataclass(slots=True)
class Recorder:
    url: str
    sent: list[Sent] = field(default_factory=list)


@contextmanager
def recording(status: int = 200, text: str = "", location: str = "") -> Iterator[Recorder]:
    """Writes down every request, and gives each the same answer."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            recorder.sent.append(Sent(self.command, self.path, self.headers["Authorization"], body))
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET = answer  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    recorder = Recorder(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield recorder
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def silent() -> Iterator[str]:
    """Takes the connection, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def dripping() -> Iterator[str]:
    """Answers a byte now and then, for as long as the test runs: no single wait for it is long."""
    over = threading.Event()

    def drip() -> None:
        with suppress(OSError), listening.accept()[0] as client:
            client.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not over.wait(0.1):
                client.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


def samples(text: str) -> dict[str, tuple[dict[str, str], float]]:
    """Labels and value by name, of those that are ours; each name must stand there once."""
    families = text_string_to_metric_families(text)
    ours = [one for family in families for one in family.samples if one.name.startswith("ledgerctl_")]
    found = {one.name: (dict(one.labels), one.value) for one in ours}
    assert len(found) == len(ours)
    return found


def scraped(url: str) -> dict[str, tuple[dict[str, str], float]]:
    """What Prometheus would read at a gateway."""
    with urlopen(f"{url}/metrics") as answer:
        return samples(answer.read().decode())
