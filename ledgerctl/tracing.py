"""The trace that a command is a part of, and the notes of where its own time goes.

TRACEPARENT (W3C Trace Context) names the trace; its id goes to the server and into the audit log. Spans are noted only
when the variables of OpenTelemetry say where to send them; else one costs a look at a variable. They are notes of our
own: what sends them (`otlp`) is slow to load, and nobody shall wait for it while we hold a lock.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar, Token
from functools import wraps
from types import TracebackType
from typing import NamedTuple, ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

SPANS_MAX = 2000
"""Of one command. A file in thousands of pieces would fill memory, and no collector takes so much in one request."""
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

_NAME_MAX = 63  # bytes that PostgreSQL keeps of an application_name
_HEADER = r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"  # compiled when there is one
_SAMPLED = 0x01


class Caller(NamedTuple):
    """The span that asked for this command."""

    trace_id: str
    span_id: str
    sampled: bool


class Span:
    """One stretch of time, noted while it is open. Its attributes say nothing of accounts, amounts and texts."""

    __slots__ = ("_former", "_trace", "attributes", "ended_ns", "error", "name", "parent", "started_ns")

    def __init__(self, trace: Trace, name: str, attributes: dict[str, str | int]) -> None:
        self._trace = trace
        self._former: Token[Span | None] | None = None
        self.name = name
        self.attributes = attributes
        self.parent: Span | None = None
        self.started_ns = 0
        self.ended_ns = 0
        self.error = ""
        """A code or the name of an exception; its words may hold what nobody else should read."""

    def __enter__(self) -> Self:
        self.parent = _current.get()
        self._former = _current.set(self)
        self._trace.note(self)
        self.started_ns = self._trace.now_ns()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.ended_ns = self._trace.now_ns()
        if self._former is not None:
            _current.reset(self._former)
        if error is not None:
            code = getattr(error, "code", None)
            self.error = code if isinstance(code, str) else type(error).__name__


class Trace:
    """Of one command."""

    __slots__ = ("_offset_ns", "caller", "id", "left_out", "spans")

    def __init__(self, caller: Caller | None, *, wanted: bool) -> None:
        self.id = os.urandom(16).hex() if caller is None else caller.trace_id
        self.caller = caller
        self.spans: list[Span] | None = [] if wanted else None
        """In the order of their beginning, the command's own first; None when nobody wants them."""
        self.left_out = 0
        self._offset_ns = time.time_ns() - time.perf_counter_ns()

    def note(self, span: Span) -> None:
        if self.spans is None or len(self.spans) >= SPANS_MAX:
            self.left_out += 1
        else:
            self.spans.append(span)

    def now_ns(self) -> int:
        """Since 1970, by a clock that does not step: no span ends before it begins."""
        return time.perf_counter_ns() + self._offset_ns


_trace: ContextVar[Trace | None] = ContextVar("trace", default=None)
_current: ContextVar[Span | None] = ContextVar("span", default=None)
_UNNOTED = nullcontext()


def begin(environment: Mapping[str, str]) -> Trace | None:
    """The trace of this process, from now on, if the environment has one or wants one."""
    caller = parse(environment.get("TRACEPARENT", ""))
    wanted = _wanted(environment)
    trace = Trace(caller, wanted=wanted) if caller is not None or wanted else None
    _trace.set(trace)
    _current.set(None)
    return trace


def join(header: str) -> Caller | None:
    """Make this context a part of the trace that a traceparent names, without spans: of one request among many."""
    caller = parse(header)
    _trace.set(None if caller is None else Trace(caller, wanted=False))
    return caller


def parse(header: str) -> Caller | None:
    """What a traceparent says; None for one that is not valid, which is as good as none."""
    found = re.fullmatch(_HEADER, header) if header else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None):  # a later version may go on after a dash
        return None
    if not int(trace_id, 16) or not int(span_id, 16):
        return None
    return Caller(trace_id, span_id, sampled=bool(int(flags, 16) & _SAMPLED))


def trace_id() -> str | None:
    """Of the trace that this command is a part of, if it is a part of one."""
    trace = _trace.get()
    return None if trace is None else trace.id


def span(name: str, **attributes: str | int) -> AbstractContextManager[object]:
    """Note how long the body takes, and whether it fails."""
    trace = _trace.get()
    return _UNNOTED if trace is None or trace.spans is None else Span(trace, name, attributes)


def spanned(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A span around each call of a function."""

    def around(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            with span(name):
                return function(*args, **kwargs)

        return call

    return around


def tell(**attributes: str | int) -> None:
    """Say more about the command itself."""
    trace = _trace.get()
    if trace is not None and trace.spans:
        trace.spans[0].attributes.update(attributes)


def application_name(begins: str, host: str) -> str:
    """`begins`, as much of the host as there is room for, and the whole id of the trace."""
    tail = f" {trace_id()}" if trace_id() else ""
    return f"{begins}{host}"[: _NAME_MAX - len(tail)] + tail


def _wanted(environment: Mapping[str, str]) -> bool:
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    return environment.get("OTEL_TRACES_EXPORTER") != "none" and any(environment.get(name) for name in ENDPOINTS)
