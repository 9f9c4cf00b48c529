"""Sends the spans of a command to a collector, by OTLP over HTTP. Loaded only when there are spans to send.

The SDK makes spans of our notes when all is over, so that its sampler, its limits and its variables hold for them as
for anybody's.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from threading import Thread

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from ledgerctl import __version__, tracing

TIMEOUT_S = 1.5
"""What a command waits at most for the collector; with the time to load this, no more than two seconds."""

for _name in ("opentelemetry", "urllib3"):  # what they would say on stderr, our one sentence says
    logging.getLogger(_name).addHandler(logging.NullHandler())
    logging.getLogger(_name).propagate = False


def send(trace: tracing.Trace) -> str:
    """Hand the spans over. Why that failed, or nothing; it takes no longer than TIMEOUT_S."""
    spans = _made(trace)
    if not spans:  # the caller, or the sampler, does not want them
        return ""
    failed = f"no answer within {TIMEOUT_S:g} s"

    def export() -> None:
        nonlocal failed
        try:
            done = OTLPSpanExporter(timeout=TIMEOUT_S).export(spans)
            failed = "" if done is SpanExportResult.SUCCESS else "the collector is not there, or refuses them"
        except Exception as error:  # of a variable with no sense, or a certificate that is not there
            failed = type(error).__name__

    # In a thread that nobody need wait for: no timeout bounds a resolver, or a server that sends a byte now and then.
    thread = Thread(target=export, daemon=True)
    thread.start()
    thread.join(TIMEOUT_S)
    return failed


class _Kept(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is not None and span.context.trace_flags.sampled:
            self.spans.append(span)


class _OurTrace(RandomIdGenerator):
    """The audit log has the id of the trace already."""

    def __init__(self, trace_id: str) -> None:
        self._trace_id = int(trace_id, 16)

    def generate_trace_id(self) -> int:
        return self._trace_id


def _made(trace: tracing.Trace) -> Sequence[ReadableSpan]:
    kept = _Kept()
    # Only what the variables say of it: a detector of processes would tell the user's name.
    resource = Resource({"service.name": "ledgerctl", "service.version": __version__}).merge(
        OTELResourceDetector().detect()
    )
    provider = TracerProvider(resource=resource, shutdown_on_exit=False, id_generator=_OurTrace(trace.id))
    provider.add_span_processor(kept)
    tracer = provider.get_tracer("ledgerctl", __version__)
    outside = _outside(trace.caller)
    contexts: dict[int, Context] = {}
    for note in trace.spans or ():
        if not note.ended_ns:  # of a thread that was left behind
            continue
        context = outside if note.parent is None else contexts.get(id(note.parent), outside)
        span = tracer.start_span(note.name, context, attributes=_attributes(note), start_time=note.started_ns)
        contexts[id(note)] = set_span_in_context(span, Context())
        if note.error:
            span.set_status(Status(StatusCode.ERROR))
        span.end(note.ended_ns)
    return kept.spans


def _outside(caller: tracing.Caller | None) -> Context:
    if caller is None:
        return Context()
    flags = TraceFlags(TraceFlags.SAMPLED if caller.sampled else TraceFlags.DEFAULT)
    above = SpanContext(int(caller.trace_id, 16), int(caller.span_id, 16), is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(above), Context())


def _attributes(note: tracing.Span) -> dict[str, str | int]:
    ours = {f"ledgerctl.{name}": value for name, value in note.attributes.items()}
    return {**ours, "error.type": note.error} if note.error else ours
