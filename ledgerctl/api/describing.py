"""What the OpenAPI document says beside what the routes say by themselves: tokens, keys, problems, headers."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ledgerctl.api.problems import MEDIA_TYPE

_TEXT = {"type": "string"}
_NUMBER = {"type": "integer"}
_KEY: dict[str, Any] = {
    "name": "Idempotency-Key", "in": "header", "required": True, "example": "order-1001",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
}  # fmt: skip
_EVERYWHERE = {
    "X-Request-Id": {"schema": _TEXT, "description": "The caller's, or one that was made; it is in the audit log."}
}
_COUNTED = {
    name: {"schema": _NUMBER} for name in ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
}  # fmt: skip
_CREATED = {
    "Location": {"schema": _TEXT, "description": "Where it is; a list has none."},
    "Idempotent-Replayed": {
        "schema": {"type": "string", "enum": ["true"]},
        "description": "There only where it was done before, and not again.",
    },
}
_RETRY = {"Retry-After": {"schema": _NUMBER, "description": "In so many seconds."}}
_BUSY = ("409", "429", "503")
_EXAMPLE = {
    "type": "urn:ledgerctl:problem:INSUFFICIENT_FUNDS", "title": "Unprocessable Entity", "status": 422,
    "code": "INSUFFICIENT_FUNDS",
    "detail": "insufficient funds in 'customers:alice' (available 10.00 EUR, needed 12.50 EUR)",
    "hint": "ledgerctl account show customers:alice",
    "details": {"account": "customers:alice", "available": "10.00", "needed": "12.50", "currency": "EUR"},
}  # fmt: skip
_OF_CHANGES = ("409", "413", "415", "422")
"""No answer to a question."""


def describe(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        document["components"]["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
        }
        document["components"]["schemas"]["Problem"]["example"] = _EXAMPLE
        for operations in document["paths"].values():
            for method, operation in operations.items():
                _complete(method, operation)
        app.openapi_schema = document
    return app.openapi_schema


def _complete(method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    if "401" in responses:
        operation["security"] = [{"token": []}]
    if method == "get":
        for status in _OF_CHANGES:
            responses.pop(status, None)
    for place, parameter in enumerate(operation.get("parameters", [])):
        if parameter["name"].lower() == _KEY["name"].lower():
            operation["parameters"][place] = {**parameter, **_KEY}
    for status, response in responses.items():
        headers = {**_EVERYWHERE, **(_COUNTED if "401" in responses and status != "401" else {})}
        headers |= (_CREATED if status == "201" else {}) | (_RETRY if status in _BUSY else {})
        response["headers"] = headers
        content = response.get("content", {})
        if content.get("application/json", {}).get("schema") == {"$ref": "#/components/schemas/Problem"}:
            response["content"] = {MEDIA_TYPE: content["application/json"]}
