"""What is sent to the API, as OpenAPI tells it. Texts are read by the ledger's own rules, not here.

Amounts are strings: a JSON number has been through somebody's floats, and is refused.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    FailFast,
    Field,
    StrictStr,
    Tag,
    model_validator,
)

from ledgerctl.core import money, texts


def _form(pattern: re.Pattern[str]) -> Any:
    """Told only: what does not match it is refused by the ledger's own rules, in its own words."""
    return {"pattern": f"^{pattern.pattern}$"}


Amount = Annotated[
    StrictStr,
    Field(
        description="A decimal, such as 12.50: no sign, no exponent.",
        examples=["12.50"],
        json_schema_extra=_form(money.AMOUNT),
    ),
]
Code = Annotated[
    StrictStr,
    Field(description="An account's code.", examples=["customers:alice"], json_schema_extra=_form(texts.CODE)),
]
Currency = Annotated[
    StrictStr,
    Field(description="Of both accounts; may be left out.", examples=["EUR"], json_schema_extra=_form(money.CURRENCY)),
]
Text = Annotated[StrictStr, Field(max_length=1000)]
Reference = Annotated[StrictStr, Field(max_length=1000, json_schema_extra={"maxLength": 255})]  # core refuses more
Limit = Annotated[StrictStr, Field(description="On the normal side; none for no limit.", examples=["0", "none"])]
FIELDS_MAX = 50
"""In a body or in its metadata: of more, each by itself would be told to be wrong."""


def _few(given: Any) -> Any:
    if isinstance(given, dict) and len(given) > FIELDS_MAX:
        raise ValueError(f"it has more than {FIELDS_MAX} fields")
    return given


Metadata = Annotated[
    dict[StrictStr, StrictStr],
    Field(max_length=FIELDS_MAX, examples=[{"order": "1001"}]),
    BeforeValidator(_few),
]


class Body(BaseModel):
    """Fields that are not known are refused: a typo must not be taken for nothing."""

    model_config = ConfigDict(extra="forbid", strict=True)

    _few_fields = model_validator(mode="before")(_few)


class NewAccount(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"code": "customers:alice", "currency": "EUR", "name": "Alice"}]}
    )

    code: Code
    currency: Annotated[StrictStr, Field(examples=["EUR"], json_schema_extra=_form(money.CURRENCY))]
    type: Literal["asset", "liability", "equity", "income", "expense"] = "liability"
    name: Text | None = None
    min_balance: Limit | None = None
    max_balance: Limit | None = None
    metadata: Metadata | None = None


class Transfer(Body):
    """Debits `from` and credits `to`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"from": "assets:bank", "to": "customers:alice", "amount": "12.50"}]}
    )

    source: Annotated[Code, Field(alias="from")]
    target: Annotated[Code, Field(alias="to")]
    amount: Amount
    currency: Currency | None = None
    description: Text | None = None
    reference: Reference | None = None
    effective_at: Annotated[StrictStr, Field(examples=["2026-01-31T12:00:00Z"])] | None = None
    metadata: Metadata | None = None


class Listed(Transfer):
    """One of several; without a key of its own, it has the header's, a colon and its number from 1."""

    idempotency_key: Text | None = None


class Transfers(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"mode": "all", "transfers": [{"from": "assets:bank", "to": "customers:alice", "amount": "12.50"}]}
            ]
        }
    )

    transfers: Annotated[list[Listed], Field(min_length=1), FailFast()]
    mode: Annotated[Literal["all", "each"], Field(description="`all`: every one or none. `each`: each by itself.")] = (
        "all"
    )


def _which(body: Any) -> str:
    """So that what is wrong is said of the one that was meant."""
    return "list" if isinstance(body, Transfers) or (isinstance(body, dict) and "transfers" in body) else "transfer"


FORMS = ("transfer", "list")
OneOrSeveral = Annotated[
    Annotated[Transfer, Tag("transfer")] | Annotated[Transfers, Tag("list")], Discriminator(_which)
]


class Reversal(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "wrong customer"}]})

    amount: Amount | None = None
    reason: Text | None = None


class Entry(BaseModel):
    account: str
    debit: str | None
    credit: str | None
    currency: str
    balance: str


class Posted(BaseModel):
    transaction_id: str
    status: Literal["posted", "replayed"]
    kind: str
    idempotency_key: str
    posted_at: str
    entries: list[Entry]
    reverses: str | None = None


class Problem(BaseModel):
    """RFC 9457. `code` is what the command line calls the error."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    hint: str | None = None
    details: dict[str, object] | None = None
    errors: list[dict[str, str]] | None = None


class Refused(BaseModel):
    status: Literal["refused"]
    problem: Problem


class Results(BaseModel):
    results: list[Posted | Refused]


class State(BaseModel):
    status: Annotated[str, Field(description="`ok`, or what is the matter.", examples=["ok"])]


class Account(BaseModel):
    code: str
    name: str | None
    type: str
    currency: str
    status: str
    balance: str
    min_balance: str | None
    max_balance: str | None
    seq: int
    created_at: str
    metadata: dict[str, str]


class Balance(BaseModel):
    account: str
    currency: str
    balance: str
    as_of: str
    seq: int
    type: str


class HistoryEntry(BaseModel):
    seq: int
    transaction_id: str
    kind: str
    posted_at: str
    effective_at: str
    debit: str | None
    credit: str | None
    balance: str
    currency: str
    counterparties: list[str]
    description: str | None
    reference: str | None
    idempotency_key: str


class History(BaseModel):
    entries: list[HistoryEntry]
    next: Annotated[str | None, Field(description="The cursor of the next page; null at the end.")]


class Transaction(BaseModel):
    transaction_id: str
    kind: str
    idempotency_key: str
    posted_at: str
    entries: list[Entry]
    description: str | None
    reference: str | None
    effective_at: str
    metadata: dict[str, str]
    reverses: str | None
    reversed_by: str | None
    import_id: str | None
