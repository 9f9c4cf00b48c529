"""The application: routes, what surrounds them, and what they are given."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from ledgerctl import __version__, logs
from ledgerctl.api import accounts, operations, problems, transactions, transfers
from ledgerctl.api.allowing import Allowance
from ledgerctl.api.asking import Service
from ledgerctl.api.counting import Counts
from ledgerctl.api.describing import describe
from ledgerctl.api.keys import Published, Secret
from ledgerctl.api.library import Library
from ledgerctl.api.middleware import Around
from ledgerctl.api.tokens import Guard
from ledgerctl.cache.limits import Policy
from ledgerctl.config import Configuration
from ledgerctl.errors import BadConfig, LedgerError
from ledgerctl.services.observing import Observatory
from ledgerctl.services.observing_redis import Watch

TITLE = "ledgerctl"
DESCRIPTION = """A double-entry payments ledger. Amounts are strings. Every change has an `Idempotency-Key`, which is
kept for ever: the same request again is answered, with `Idempotent-Replayed: true`, and not made again. Errors are
problem documents (RFC 9457), whose `code` is the one of the command line."""


def create(configuration: Configuration, application: str) -> FastAPI:
    """BadConfig when the settings do not say who may ask."""
    settings = configuration.settings
    library = Library(configuration, application)
    watch = Watch(settings.redis) if settings.redis.url else None
    observatory = Observatory(library.database(), None, lambda words: logs.event("metrics", detail=words), watch)
    counts = Counts(observatory, library.asked_of_redis)
    allowance = Allowance(library, Policy("api", settings.api.requests, settings.api.window_s, "local"))
    guard = _guard(configuration)

    @asynccontextmanager
    async def running(_app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(observatory.begin, observatory.database)  # from here on it is counted
        yield
        library.close()

    app = FastAPI(
        title=TITLE, version=__version__, description=DESCRIPTION, docs_url=None, redoc_url=None, lifespan=running,
        redirect_slashes=False,
    )  # fmt: skip
    app.state.service = Service(
        library, guard, allowance, settings.api.list_max, settings.api.page_max, observatory, counts.exposed
    )
    for routes in (transfers, accounts, transactions, operations):
        app.include_router(routes.router)
    for error, handler in (
        (LedgerError, problems.of_ledger),
        (problems.Problem, problems.of_request),
        (RequestValidationError, problems.of_validation),
        (HTTPException, problems.of_http),
    ):
        app.add_exception_handler(error, handler)
    if settings.api.cors:
        origins = [origin.strip() for origin in settings.api.cors.split(",")]
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST"],
                           allow_headers=["Authorization", "Idempotency-Key", "Content-Type", "X-Request-Id",
                                          "traceparent"],
                           expose_headers=["Location", "Idempotent-Replayed", "X-Request-Id", "Retry-After",
                                           "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"])  # fmt: skip
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    app.add_middleware(Around, body_max=settings.api.body_max_bytes, counted=counts.count)
    return app


def _guard(configuration: Configuration) -> Guard:
    api = configuration.settings.api
    if not api.issuer:
        raise BadConfig(detail="[api] issuer is not set: nobody's tokens would be good")
    if bool(api.jwks) == bool(api.secret_file):
        raise BadConfig(detail="[api] needs either jwks or secret_file, to tell good tokens from others")
    if not api.audience:
        raise BadConfig(detail="[api] audience is empty: tokens for anybody else would be good")
    secret = configuration.api_secret_file
    keys = Published(configuration.api_jwks) if secret is None else Secret(secret)
    return Guard(keys, api.issuer, api.audience)
