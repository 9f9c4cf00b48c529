"""Collectors of spans for the tests: one that takes them, one that refuses, and two that come to no end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """What was sent to it, byte by byte and as spans."""

    def __init__(self) -> None:
        self.status: int | None = 200
        """What it answers; None for nothing, ever."""
        self.trickles = False
        """Whether its answer is a byte now and then, which no timeout of a library minds."""
        self.bodies: list[bytes] = []
        self.asked = Event()
        self.closing = Event()
        self.url = ""

    @property
    def spans(self) -> list[Span]:
        return [span for scope in self._scopes() for span in scope.spans]

    @property
    def resource(self) -> dict[str, Any]:
        """Of the last request."""
        [resource] = ExportTraceServiceRequest.FromString(self.bodies[-1]).resource_spans
        return {one.key: one.value.string_value for one in resource.resource.attributes}

    def _scopes(self) -> Iterator[Any]:
        for body in self.bodies:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                yield from resource.scope_spans


def attributes(span: Span) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value") or "") for one in span.attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on the loopback interface."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            collector.asked.set()
            if collector.status is None:
                collector.closing.wait(60)
                return
            while collector.trickles and not collector.closing.wait(0.2):
                self.wfile.write(b"x")
            self.send_response(collector.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Not on the stderr of the tests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    collector.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield collector
    finally:
        collector.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
