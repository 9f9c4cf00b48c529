"""The OpenAPI document is complete, and the server keeps to it whatever is sent."""

from __future__ import annotations

import re
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, settings

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis, which makes up requests, is not installed")

from schemathesis.checks import CHECKS, load_all_checks  # noqa: E402
from schemathesis.generation import GenerationMode  # noqa: E402

from tests.api.conftest import Client  # noqa: E402

EXAMPLES = 25
"""Of each way to make them up, for each operation."""

CHECKED = [
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection",
]  # fmt: skip


def test_the_document_describes_every_route_with_its_token_its_key_and_its_problems(api: Client) -> None:
    document = api.get("/openapi.json").json()
    operations = {
        (method, path): operation for path, item in document["paths"].items() for method, operation in item.items()
    }

    public = {path for (_, path), operation in operations.items() if "security" not in operation}
    assert public == {"/health", "/ready"}
    assert len(operations) == 10
    for (method, path), operation in operations.items():
        assert operation["description"], path
        if path in public:
            continue
        assert {"400", "401", "403", "429", "503"} <= operation["responses"].keys(), path
        problems = [answer for status, answer in operation["responses"].items() if status >= "400"]
        assert all(list(problem["content"]) == ["application/problem+json"] for problem in problems), path
        parameters = operation.get("parameters", [])
        keys = [one["required"] for one in parameters if one["name"] == "Idempotency-Key"]
        assert keys == ([True] if method == "post" else []), path
        if method == "post":
            assert {"409", "413", "422"} <= operation["responses"].keys()
            assert "Idempotent-Replayed" in operation["responses"]["201"]["headers"]
    schemas = document["components"]["schemas"]
    assert all(schemas[name].get("examples") for name in ("NewAccount", "Transfer", "Transfers", "Reversal"))
    assert re.fullmatch(schemas["Transfer"]["properties"]["amount"]["pattern"], "12.50")


@pytest.mark.timeout(300)
def test_whatever_is_sent_the_answer_is_one_of_those_described(alice: Client) -> None:
    load_all_checks()
    checks = CHECKS.get_by_names(CHECKED)
    transaction = alice.transfer("alice", "bob", "1.00").json()["transaction_id"]
    known = {"code": "alice", "transaction_id": transaction, "from": "alice", "to": "bob", "currency": "EUR"}
    schema = schemathesis.openapi.from_dict(alice.app.openapi())
    headers = {"Authorization": alice.headers["Authorization"]}
    answered: dict[str, set[int]] = {}

    def likelier(case: Any) -> Any:
        """The same about accounts and transactions that there are."""
        for values in (case.path_parameters, case.body, *_listed(case.body)):
            if isinstance(values, dict):
                values.update({name: value for name, value in known.items() if name in values})
        return case

    def check(case: Any) -> None:
        answer = case.call(base_url=str(alice.base_url), headers=headers)
        answered.setdefault(case.operation.label, set()).add(answer.status_code)
        case.validate_response(answer, checks=checks)

    for found in schema.get_all_operations():
        operation = found.ok()
        for mode, change in (
            (GenerationMode.POSITIVE, lambda case: case),
            (GenerationMode.POSITIVE, likelier),
            (GenerationMode.NEGATIVE, lambda case: case),
        ):
            try:
                cases = operation.as_strategy(generation_mode=mode).map(change)
                _run(cases, check)
            except hypothesis.errors.Unsatisfiable:  # nothing can be wrong about it
                assert mode is GenerationMode.NEGATIVE

    assert 201 in answered["POST /api/v1/transfers"]
    assert 200 in answered["GET /api/v1/accounts/{code}"]


def _listed(body: Any) -> list[Any]:
    listed = body.get("transfers") if isinstance(body, dict) else None
    return listed if isinstance(listed, list) else []


def _run(cases: Any, check: Any) -> None:
    limits = settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None,
                      phases=[Phase.generate], suppress_health_check=list(HealthCheck))  # fmt: skip
    given: Any = hypothesis.given
    limits(given(cases)(check))()
