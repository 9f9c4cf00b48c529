"""Whether the service lives, is ready, and what it has done."""

from __future__ import annotations

import logging

from fastapi import APIRouter, Request, Response

from ledgerctl import logs
from ledgerctl.api import bodies
from ledgerctl.api.asking import PROBLEMS, Measures, public, service_of

router = APIRouter(tags=["operations"])


@router.get("/health", response_model=bodies.State)
@public
async def health() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok"}


@router.get(
    "/ready",
    response_model=bodies.State,
    responses={503: {"model": bodies.State, "description": "It is not, and why."}},
)
@public
def ready(request: Request, response: Response) -> dict[str, str]:
    """The database is reachable, and has the right schema. Without Redis, requests are answered all the same."""
    why = service_of(request).observatory.trouble_of_books()
    if not why:
        return {"status": "ok"}
    logs.event("not ready", level=logging.WARNING, detail=why)  # it names hosts and users: not for everybody
    response.status_code = 503
    return {"status": "unavailable"}


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **PROBLEMS},
)
def metrics(request: Request, asked: Measures) -> Response:
    """For Prometheus, with a bearer token."""
    content, media_type = asked.service.exposed(request.headers.get("accept", ""))
    return Response(content, media_type=media_type, headers={"Cache-Control": "no-store"})
