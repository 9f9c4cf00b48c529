"""The metrics server: /metrics, /health and /ready over plain HTTP, for those who watch.

It answers GET and HEAD, keeps nothing of what it is sent, and does not wait for slow clients.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from threading import BoundedSemaphore, Thread
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import ProcessCollector, make_wsgi_app
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from ledgerctl.errors import CannotListen
from ledgerctl.exposition import Values, registry, understood
from ledgerctl.metrics import OF_BOOKS, Samples

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

REQUEST_S = 5
"""So long a client may take to send its request, and to take the answer."""
REQUESTS_MAX = 32
"""At once; who comes then is turned away."""

_TEXT = "text/plain; charset=utf-8"


def application(samples: Callable[[], Samples], trouble: Callable[[], str]) -> WSGIApplication:
    """`samples` are asked for at every scrape; `trouble` says in words why the service is not ready, or nothing."""

    class Scraped(Collector):
        def collect(self) -> Iterable[Family]:
            return Values(samples()).collect()

        def describe(self) -> Iterable[Family]:
            return map(Values({}).family, OF_BOOKS)

    made = registry(Scraped())
    ProcessCollector(registry=made)
    exposition: WSGIApplication = make_wsgi_app(made)

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path, method = environ.get("PATH_INFO", ""), environ.get("REQUEST_METHOD", "")
        if path not in ("/metrics", "/health", "/ready"):
            return _said(start_response, "404 Not Found", "there are /metrics, /health and /ready\n")
        if method not in ("GET", "HEAD"):
            return _said(start_response, "405 Method Not Allowed", "GET or HEAD\n", ("Allow", "GET, HEAD"))
        if path == "/metrics":
            body = exposition(_understood(environ), start_response)
            return body if method == "GET" else []
        why = trouble() if path == "/ready" else ""
        return _said(start_response, "503 Service Unavailable" if why else "200 OK", f"{why or 'ok'}\n")

    return answer


def _understood(environ: WSGIEnvironment) -> WSGIEnvironment:
    """The request as the library takes it: a GET, whose Accept header it can read."""
    return {**environ, "REQUEST_METHOD": "GET", "HTTP_ACCEPT": understood(environ.get("HTTP_ACCEPT", ""))}


def _said(start_response: StartResponse, status: str, text: str, *headers: tuple[str, str]) -> list[bytes]:
    start_response(status, [("Content-Type", _TEXT), ("Cache-Control", "no-store"), *headers])
    return [text.encode()]


class Server(ThreadingMixIn, WSGIServer):
    """A thread a request, and no more of them than REQUESTS_MAX."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host: str, port: int, app: WSGIApplication, heard: Callable[[str], None]) -> None:
        """`heard` is told of each request in a line. CannotListen."""
        self.heard = heard
        self._free = BoundedSemaphore(REQUESTS_MAX)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise CannotListen(host=host, port=port, reason=error.strerror or str(error)) from None
        self.set_app(app)

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://[{host!s}]:{port}" if ":" in str(host) else f"http://{host!s}:{port}"

    def server_bind(self) -> None:
        """Without looking up the host's name, which WSGIServer does and which may take long."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, _request: Any, client_address: Any) -> None:
        """A client that hung up or was too slow is its own affair."""
        self.heard(f"{client_address[0]} was cut off")

    def run_in_background(self) -> None:
        Thread(target=self.serve_forever, name="serving", daemon=True).start()


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_S
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        self.server.heard(f"{self.client_address[0]} {format % args}")

    def address_string(self) -> str:
        """As a number: no name server is asked."""
        return str(self.client_address[0])
