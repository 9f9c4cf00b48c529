"""A CSV of accounts: `code,currency` and optionally `type,name,min_balance,max_balance`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal

from ledgerctl.core import money, texts
from ledgerctl.core.model import FLOORED, AccountType, NewAccount
from ledgerctl.core.rows import Rejected
from ledgerctl.errors import BadFile, BadText, LedgerError, TooManyDecimals, UnknownCurrency
from ledgerctl.formats.bad_rows import misfit, unreadable
from ledgerctl.formats.columns import EmptyColumn, cell
from ledgerctl.formats.dialect import Dialect
from ledgerctl.formats.records import Input, Records

FIELDS = ("code", "currency", "type", "name", "min_balance", "max_balance")
REQUIRED = ("code", "currency")


def new_account(
    given: Mapping[str, str | None], exponents: Mapping[str, int], metadata: Mapping[str, str] | None = None
) -> NewAccount:
    """An account from texts, with the defaults of its type. BadCode, BadText, BadAmount, UnknownCurrency."""
    with _of("code"):
        code = texts.account_code(given["code"] or "")
    currency = given["currency"] or ""
    if currency not in exponents:
        raise UnknownCurrency(currency=money.shown(currency), field="currency")
    kind = given.get("type") or AccountType.LIABILITY
    if kind not in list(AccountType):
        raise BadText(field="type", problem=f"'{money.shown(kind)}' is not one of {', '.join(AccountType)}")
    name = given.get("name")
    exponent = exponents[currency]
    with _of("min_balance"):
        floor = _limit(given.get("min_balance") or ("0" if kind in FLOORED else "none"), currency, exponent)
        if floor is not None and floor > 0:
            raise BadText(field="min_balance", problem="a new account holds 0, which would be below it")
    with _of("max_balance"):
        ceiling = _limit(given.get("max_balance") or "none", currency, exponent)
        if ceiling is not None and ceiling < 0:
            raise BadText(field="max_balance", problem="a new account holds 0, which would be above it")
    return NewAccount(
        code=code,
        type=kind,
        currency=currency,
        exponent=exponent,
        name=texts.plain_text("name", name) if name else None,
        min_balance=floor,
        max_balance=ceiling,
        metadata=None if metadata is None else texts.checked_metadata(metadata),
    )


def read(
    source: Input,
    columns: Mapping[str, str],
    constants: Mapping[str, str],
    dialect: Dialect,
    exponents: Mapping[str, int],
) -> tuple[list[NewAccount], list[Rejected], int]:
    """The accounts in order of their first row, the rows that are wrong, and how many rows there are. BadFile."""
    records = Records(source, dialect)
    cells = {name: cell(source.name, records.header, name, columns, constants) for name in FIELDS}
    for name in REQUIRED:
        if cells[name] is None:
            raise BadFile(
                file=source.name,
                problem=f"there is no column '{name}'",
                hint=f"its columns are: {', '.join(map(money.shown, records.header))}",
            )
    accounts: dict[str, NewAccount] = {}
    rejects: list[Rejected] = []
    for row in records:
        number, field = records.record, None
        if len(row) != len(records.header):
            rejects.append(misfit(number, len(row), len(records.header)))
            continue
        try:
            values: dict[str, str | None] = {}
            for field, get in cells.items():
                values[field] = None if get is None else get(row)
            for field in ("min_balance", "max_balance"):
                values[field] = _plain_limit(values[field], field, dialect)
            account = new_account(values, exponents)
        except (EmptyColumn, LedgerError) as error:
            rejects.append(unreadable(number, None, error))
            continue
        if accounts.setdefault(account.code, account) != account:
            message = f"account '{account.code}' stands in an earlier row with other attributes"
            rejects.append(Rejected(number, None, "ACCOUNT_EXISTS", message))
    return list(accounts.values()), rejects, records.record


def _plain_limit(text: str | None, field: str, dialect: Dialect) -> str | None:
    with _of(field):
        return text if not text or text == "none" else dialect.amount(text)


@contextmanager
def _of(field: str) -> Iterator[None]:
    """An error inside is that field's."""
    try:
        yield
    except LedgerError as error:
        error.details.setdefault("field", field)
        raise


def _limit(text: str, currency: str, exponent: int) -> Decimal | None:
    limit = money.parse_limit(text)
    if limit is not None and money.decimals(limit) > exponent:
        raise TooManyDecimals(amount=text, currency=currency, exponent=exponent)
    return limit
