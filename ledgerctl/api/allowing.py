"""How often a caller may ask; and, beside that, send again what he has sent before."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from fastapi.concurrency import run_in_threadpool

from ledgerctl.api.library import Library
from ledgerctl.api.problems import Problem
from ledgerctl.api.tokens import Caller
from ledgerctl.cache.limits import RESENDS, Answer, Policy

SENT_MAX = 10_000
"""So many keys are remembered by each process."""


class Allowance:
    """For the thread of the event loop."""

    def __init__(self, library: Library, policy: Policy) -> None:
        self._library, self._policy = library, policy
        self._sent: dict[tuple[str, str], None] = {}
        """Which subject was let through with which key, the earliest first."""

    async def use(self, caller: Caller, key: str) -> dict[str, str]:
        """Use one of the caller's requests: the RateLimit fields. Problem 429 when there is none left.

        Whoever has sent the key before may not know what became of it, and if he is kept from asking, makes another
        payment: that has an allowance of its own.
        """
        subject = f"{caller.ledger}\0{caller.subject}"
        policy, answer = self._policy, await self._ask(self._policy, subject)
        if not answer.allowed and (subject, key) in self._sent:
            policy, answer = RESENDS, await self._ask(RESENDS, subject)
        if not answer.allowed:
            detail = f"more than {answer.limit} requests in {policy.window_s} s"
            headers = {**_fields(policy, answer), "Retry-After": str(answer.retry_s)}
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS", detail, headers)
        if key:
            self._remember(subject, key)
        return _fields(policy, answer)

    async def _ask(self, policy: Policy, subject: str) -> Answer:
        ask: Callable[[], Answer] = lambda: self._library.limiter().ask(policy, subject)  # noqa: E731
        return await run_in_threadpool(ask) if self._library.shares_limits else ask()

    def _remember(self, subject: str, key: str) -> None:
        self._sent[subject, key] = None
        if len(self._sent) > SENT_MAX:
            del self._sent[next(iter(self._sent))]


def _fields(policy: Policy, answer: Answer) -> dict[str, str]:
    """draft-ietf-httpapi-ratelimit-headers, in its older form, which clients read."""
    return {
        "RateLimit-Limit": str(answer.limit),
        "RateLimit-Remaining": str(answer.remaining),
        "RateLimit-Reset": str(answer.reset_s),
        "RateLimit-Policy": f"{policy.requests};w={policy.window_s}",
    }
