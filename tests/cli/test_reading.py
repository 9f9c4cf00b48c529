"""ledgerctl balance, history, transaction show."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from ledgerctl.errors import Exit
from tests.conftest import Run

Command = Callable[..., Run]


def answer(run: Command, *args: str) -> Any:
    done = run("-o", "json", *args)
    assert done.code == Exit.DONE
    return json.loads(done.out)


@pytest.fixture
def branches(run: Command, seed: Callable[..., None]) -> Command:
    """customers:1 with 30.00 EUR, customers:2 with 12.00 EUR, customers:3 with 5 JPY, all from assets."""
    seed(
        [
            {"code": "customers:1"},
            {"code": "customers:2"},
            {"code": "customers:3", "currency": "JPY"},
            {"code": "assets:eur", "type": "asset"},
            {"code": "assets:jpy", "type": "asset", "currency": "JPY"},
        ],
        [
            ("assets:eur", "customers:1", "30", "k-1", None),
            ("assets:eur", "customers:2", "12", "k-2", None),
            ("assets:jpy", "customers:3", "5", "k-3", None),
        ],
    )
    return run


def test_balances_are_on_the_normal_side(branches: Command) -> None:
    found = answer(branches, "balance")

    assert [(row["account"], row["balance"], row["currency"], row["seq"]) for row in found] == [
        ("assets:eur", "42.00", "EUR", 2),
        ("assets:jpy", "5", "JPY", 1),
        ("customers:1", "30.00", "EUR", 1),
        ("customers:2", "12.00", "EUR", 1),
        ("customers:3", "5", "JPY", 1),
    ]
    assert {"account", "currency", "balance", "as_of", "seq"} <= found[0].keys()


def test_a_prefix_is_summed_by_currency(branches: Command) -> None:
    for prefix in ("customers", "customers:"):
        found = answer(branches, "balance", prefix)
        assert [(row["prefix"], row["currency"], row["balance"], row["seq"]) for row in found] == [
            ("customers", "EUR", "42.00", 2),
            ("customers", "JPY", "5", 1),
        ]


def test_several_are_shown_in_the_order_asked(branches: Command) -> None:
    rows = csv.DictReader(io.StringIO(branches("-o", "csv", "balance", "customers:2", "assets", "customers:1").out))

    assert [(row["account"], row["balance"]) for row in rows] == [
        ("customers:2", "12.00"),
        ("assets:", "42.00"),
        ("assets:", "5"),
        ("customers:1", "30.00"),
    ]


@pytest.mark.parametrize("code", ["nosuch", "customer", "customers:1:", ":", "customers:9"])
def test_an_account_or_branch_that_is_not_there_is_not_found(branches: Command, code: str) -> None:
    done = branches("balance", code)
    assert done.code == (Exit.DONE if code == "customers:1:" else Exit.NOT_FOUND)


def test_a_balance_of_the_past_is_what_it_was(branches: Command) -> None:
    time.sleep(0.01)
    then = datetime.now(UTC).isoformat()
    time.sleep(0.01)
    branches("transfer", "customers:1", "customers:2", "10")

    def then_and_now(code: str) -> tuple[str, str]:
        past, present = answer(branches, "balance", code, "--as-of", then), answer(branches, "balance", code)
        return past[0]["balance"], present[0]["balance"]

    assert then_and_now("customers:1") == ("30.00", "20.00")
    assert then_and_now("customers:2") == ("12.00", "22.00")
    assert then_and_now("customers") == ("42.00", "42.00")
    assert answer(branches, "balance", "customers:1", "--as-of", "2001-01-01")[0]["balance"] == "0.00"
    assert answer(branches, "balance", "customers:1", "--as-of", "2001-01-01")[0]["as_of"] == "2001-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "as_of", ["31.01.2026", "2026-02-30", "tomorrow", "-7x", "-999999d", "1767225600", "0000-01-01"]
)
def test_a_time_that_is_none_is_a_wrong_argument(branches: Command, as_of: str) -> None:
    assert branches("balance", "customers", "--as-of", as_of).code == Exit.USAGE
    assert branches("history", "customers:1", "--since", as_of).code == Exit.USAGE


def test_the_accounts_of_an_empty_ledger_are_none(run: Command) -> None:
    assert run("-o", "json", "balance").out == "[]\n"
    assert run("-o", "jsonl", "balance").out == ""
    assert run("-o", "csv", "balance").out == "account,balance,currency,type,seq,as_of\n"
    assert run("balance").out == ""


def test_a_long_list_of_balances_says_that_it_is_cut(branches: Command) -> None:
    done = branches("balance", "--limit", "2")

    assert len(done.out.splitlines()) == 3
    assert done.err == "2 of 5 accounts; --all, or name a prefix\n"
    assert branches("balance", "--all").err == ""


def test_a_prefix_can_be_shown_by_the_fields_that_a_table_has(branches: Command) -> None:
    assert branches("-o", "json", "balance", "customers", "--fields", "account,balance").code == Exit.DONE


# -- history --------------------------------------------------------------------------------------------------------


@pytest.fixture
def busy(funded: Command, seed: Callable[..., None]) -> Command:
    """`funded`, and five transfers of 1.00 to 5.00 EUR from alice to bob; alice has six entries."""
    seed([], [("alice", "bob", str(amount), f"k-{amount}", None) for amount in range(1, 6)])
    return funded


def seqs(run: Command, *args: str) -> list[int]:
    return [row["seq"] for row in answer(run, "history", "alice", *args)]


def test_an_entry_of_the_history(busy: Command) -> None:
    *_, entry = answer(busy, "history", "alice")

    assert entry.pop("posted_at") == entry.pop("effective_at")
    assert entry.pop("transaction_id")
    assert entry == {
        "seq": 6, "kind": "transfer", "debit": "5.00", "credit": None, "balance": "85.00", "currency": "EUR",
        "counterparties": ["bob"], "description": None, "reference": None, "idempotency_key": "k-5",
    }  # fmt: skip


def test_the_history_is_paged_by_seq(busy: Command) -> None:
    assert seqs(busy) == [1, 2, 3, 4, 5, 6]
    assert seqs(busy, "--limit", "2") == [5, 6]
    assert seqs(busy, "--limit", "2", "--after", "0") == [1, 2]
    assert seqs(busy, "--limit", "2", "--after", "2") == [3, 4]
    assert seqs(busy, "--limit", "2", "--before", "5") == [3, 4]
    assert seqs(busy, "--after", "2", "--before", "5") == [3, 4]
    assert seqs(busy, "--after", "6") == []
    assert seqs(busy, "--all") == [1, 2, 3, 4, 5, 6]


def test_a_history_that_is_cut_says_how_to_go_on(busy: Command) -> None:
    assert busy("history", "alice", "--limit", "2").err == "2 of 6 entries; --all, or --before 5\n"
    assert busy("history", "alice", "--limit", "2", "--after", "0").err == "2 of 6 entries; --all, or --after 2\n"
    assert busy("history", "alice", "--limit", "6").err == ""


def test_the_last_page_does_not_promise_another(busy: Command) -> None:
    assert busy("history", "alice", "--limit", "2", "--after", "4").err == ""
    assert busy("history", "alice", "--limit", "2", "--before", "3").err == ""


def test_all_keeps_to_the_bounds_given(busy: Command) -> None:
    assert seqs(busy, "--all", "--after", "2", "--before", "5") == [3, 4]


def test_the_history_is_bounded_by_time(busy: Command) -> None:
    assert seqs(busy, "--since", "today", "--until", "2999-01-01") == [1, 2, 3, 4, 5, 6]
    assert seqs(busy, "--since", "-1h", "--all") == [1, 2, 3, 4, 5, 6]
    assert seqs(busy, "--until", "-1h") == []
    assert seqs(busy, "--since", "2999-01-01") == []
    said = busy("history", "alice", "--since", "2026-01-31", "-v").err
    assert said.startswith("from 2026-01-31T00:00:00Z to now\n")


@pytest.mark.parametrize("option", [("--limit", "0"), ("--after", "-1"), ("--before", "0"), ("--limit", "x")])
def test_a_bound_that_is_none_is_a_wrong_argument(busy: Command, option: tuple[str, str]) -> None:
    assert busy("history", "alice", *option).code == Exit.USAGE


@pytest.mark.parametrize("option", ["--limit", "--after", "--before"])
def test_a_bound_beyond_any_seq_is_not_a_bug(busy: Command, option: str) -> None:
    assert busy("history", "alice", option, "99999999999999999999").code in (Exit.DONE, Exit.USAGE)


def test_the_history_of_no_account_is_not_found(funded: Command) -> None:
    assert funded("history", "nosuch").code == Exit.NOT_FOUND
    assert funded("history", "").code == Exit.NOT_FOUND
    assert "did you mean 'alice'" in funded("history", "alyce").err


@pytest.mark.parametrize("limit", [(), ("--all",)])
def test_every_format_has_the_same_entries(busy: Command, limit: tuple[str, ...]) -> None:
    outputs = {name: busy("history", "alice", "-o", name, *limit).out for name in ("table", "json", "jsonl", "csv")}

    as_json = json.loads(outputs["json"])
    assert [json.loads(line) for line in outputs["jsonl"].splitlines()] == as_json
    rows = list(csv.DictReader(io.StringIO(outputs["csv"])))
    assert [{**row, "seq": str(row["seq"]), "counterparties": " ".join(row["counterparties"])} for row in as_json] == [
        {name: value or None for name, value in row.items()} for row in rows
    ]
    assert [line.split()[0] for line in outputs["table"].splitlines()[1:]] == [str(row["seq"]) for row in as_json]


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
def test_a_time_at_the_edge_of_the_calendar_does_not_hide_a_history(funded: Command, zone: str) -> None:
    for key, effective_at in (("first", "0001-01-01"), ("last", "9999-12-31T23:59:59Z")):
        assert funded("transfer", "alice", "bob", "1", "-i", key, "--effective-at", effective_at).code == Exit.DONE

    assert funded("history", "alice", PGTZ=zone).code == Exit.DONE


def test_the_environment_of_libpq_does_not_change_what_is_understood(funded: Command) -> None:
    assert funded("history", "alice", PGDATESTYLE="German").code == Exit.DONE


# -- one transaction ------------------------------------------------------------------------------------------------


def test_a_transaction_is_shown_by_its_id_and_by_its_key(funded: Command) -> None:
    posted = answer(
        funded, "transfer", "alice", "bob", "5", "-i", "k-1", "--metadata", "order=7", "--effective-at", "2026-01-31"
    )

    by_key = answer(funded, "transaction", "show", "k-1")

    assert answer(funded, "transaction", "show", posted["transaction_id"]) == by_key
    assert by_key == {
        **{name: value for name, value in posted.items() if name != "status"},
        "description": None,
        "reference": None,
        "effective_at": "2026-01-31T00:00:00Z",
        "metadata": {"order": "7"},
        "reverses": None,
        "reversed_by": None,
        "import_id": None,
    }


@pytest.mark.parametrize("reference", ["nosuch", "01a20932-e7af-7d25-a92e-ef9db1eca84b"])
def test_a_transaction_that_is_not_there_is_not_found(run: Command, reference: str) -> None:
    assert run("transaction", "show", reference).code == Exit.NOT_FOUND


@pytest.mark.parametrize(
    "args",
    [("account", "show", "\udcff"), ("balance", "\udcff"), ("transaction", "show", "\udcff"), ("history", "\udcff")],
)
def test_bytes_that_are_not_utf_8_are_no_bug(run: Command, args: tuple[str, ...]) -> None:
    assert run(*args).code in (Exit.USAGE, Exit.NOT_FOUND)


# -- recorded -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("balance", ("balance",)),
        ("balance-prefix", ("balance", "customers", "assets:eur")),
        ("history", ("history", "customers:1")),
        ("account-list", ("account", "list")),
        ("account-list-csv", ("account", "list", "-o", "csv")),
        ("transaction-show", ("transaction", "show", "gift")),
        ("transaction-show-json", ("transaction", "show", "gift", "-o", "json")),
    ],
)
def test_the_output_is_as_recorded(
    branches: Command, recorded: Callable[[str, str], None], name: str, args: tuple[str, ...]
) -> None:
    branches(
        "transfer", "customers:1", "customers:2", "5", "-i", "gift", "--description", "Für Zoë", "--reference", "r-1"
    )

    done = branches(*args)

    assert (done.code, done.err) == (Exit.DONE, "")
    recorded(name, done.out)
