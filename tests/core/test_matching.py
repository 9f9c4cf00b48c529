"""Which line goes with which entry, rule by rule; and what holds of all matches."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerctl.core import likeness, sums
from ledgerctl.core.matching import Item, Match, Rule, Terms, match

JANUARY = date(2026, 1, 1)
TERMS = Terms(window=5, seen_until=date(2026, 3, 31))


def item(id_: int, day: int, amount: int, reference: str = "", text: str = "", fee: int = 0, **more: int) -> Item:
    return Item(
        id_,
        JANUARY + timedelta(day - 1),
        amount,
        fee,
        likeness.references([reference]),
        likeness.mentions(text),
        likeness.words(text),
        **more,
    )


def found(lines: list[Item], entries: list[Item]) -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    return [(str(rule), theirs, ours) for rule, theirs, ours in match(lines, entries, TERMS)]


def test_the_same_reference_and_amount_match_however_far_apart() -> None:
    assert found([item(1, 60, 500, "INV 17")], [item(1, 1, 500, "inv17"), item(2, 60, 500)]) == [
        ("reference", (1,), (1,))
    ]


def test_a_reference_with_another_amount_is_no_match() -> None:
    assert found([item(1, 1, 500, "INV-17")], [item(1, 1, 501, "INV-17")]) == []


@pytest.mark.parametrize("nothing", ["NONREF", "NOTPROVIDED", "", "1", "not provided"])
def test_what_stands_for_no_reference_matches_nothing(nothing: str) -> None:
    assert found([item(1, 1, 500, nothing)], [item(1, 20, 500, nothing)]) == []


def test_of_several_under_one_reference_the_nearest_day_is_taken_and_each_once() -> None:
    lines = [item(1, 10, 500, "RENT-7"), item(2, 40, 500, "RENT-7"), item(3, 70, 500, "RENT-7")]
    entries = [item(1, 41, 500, "RENT-7"), item(2, 9, 500, "RENT-7")]

    assert found(lines, entries) == [("reference", (1,), (2,)), ("reference", (2,), (1,))]


def test_the_search_for_sums_comes_to_an_end() -> None:
    """Among amounts as large as these, chance would allow for hours of it: then the test's time is up."""
    lines = [item(n, 1 + n % 90, 10**9 + 7_919 * n * n) for n in range(2_000)]
    entries = [item(n, 1 + n % 90, 2 * 10**9 + 104_729 * n * n + 1) for n in range(2_000)]

    assert len(found(lines, entries)) < 5


def test_a_reference_that_the_bank_mentions_in_its_text_matches() -> None:
    assert found([item(1, 20, 500, text="Transfer for INV-2026-17, thank you")], [item(1, 1, 500, "INV-2026-17")]) == [
        ("mention", (1,), (1,))
    ]


def test_a_gross_amount_and_its_fee_under_one_reference_make_one_line() -> None:
    entries = [item(1, 1, 8400, "TID-1"), item(2, 1, -425, "TID-1"), item(3, 1, 7975)]

    assert found([item(1, 2, 7975, "TID-1", fee=-425)], entries) == [("reference-sum", (1,), (1, 2))]


def test_a_payout_of_a_batch_matches_the_payments_that_name_it() -> None:
    entries = [item(n, n, 100 * n + 7, text=f"captured, batch380x payment {n}") for n in range(1, 21)]
    total = sum(entry.amount for entry in entries)

    assert found([item(1, 25, total, "BATCH380X")], entries) == [
        ("reference-sum", (1,), tuple(entry.id for entry in entries))
    ]


def test_the_same_amount_matches_within_the_window_and_not_beyond() -> None:
    assert found([item(1, 6, 500)], [item(1, 1, 500)]) == [("date", (1,), (1,))]
    assert found([item(1, 7, 500)], [item(1, 1, 500)]) == []


def test_as_many_as_possible_match_even_if_each_is_two_days_late() -> None:
    lines = [item(n, n + 2, 500) for n in range(1, 31)]
    entries = [item(n, n, 500) for n in range(1, 31)]

    assert found(lines, entries) == [("date", (n,), (n,)) for n in range(1, 31)]


def test_what_is_missing_stays_open_and_not_its_neighbour() -> None:
    lines = [item(n, n, 500) for n in range(2, 31)]
    entries = [item(n, n, 500) for n in range(1, 31)]

    assert found(lines, entries) == [("date", (n,), (n,)) for n in range(2, 31)]


def test_texts_decide_between_two_of_the_same_day() -> None:
    lines = [item(1, 1, 500, text="RENT ALICE COOPER"), item(2, 1, 500, text="RENT BOB MARTIN")]
    entries = [item(1, 1, 500, text="bob martin, flat 2"), item(2, 1, 500, text="alice cooper, flat 1")]

    assert found(lines, entries) == [("date", (1,), (2,)), ("date", (2,), (1,))]


def test_duplicates_of_a_day_are_told_apart_by_count() -> None:
    lines = [item(n, 1, 500, text="coffee") for n in (1, 2, 3)]

    assert len(found(lines, [item(n, 1, 500, text="coffee") for n in (1, 2)])) == 2
    assert len(found(lines, [item(n, 1, 500, text="coffee") for n in (1, 2, 3, 4)])) == 3


def test_very_many_of_one_amount_are_matched_in_the_order_of_their_days() -> None:
    lines = [item(n, 1 + n // 100, 500) for n in range(5_000)]
    entries = [item(n, 1 + n // 100, 500) for n in range(5_000)]

    assert len(found(lines, entries)) == 5_000


def test_alike_texts_match_beyond_the_window() -> None:
    lines = [item(1, 20, 500, text="Insurance premium Albatross Ltd")]

    assert found(lines, [item(1, 1, 500, text="albatross ltd premium")]) == [("text", (1,), (1,))]
    assert found(lines, [item(1, 1, 500, text="something else")]) == []


def test_a_line_with_a_known_fee_takes_the_gross_amount_and_the_fee() -> None:
    lines = [item(1, 2, 7975, text="partner one", fee=-425), item(2, 2, 7975, text="partner two", fee=-425)]
    entries = [
        item(1, 1, 8400, text="partner two"),
        item(2, 1, 8400, text="partner one"),
        item(3, 1, -425),
        item(4, 1, -425),
    ]

    assert found(lines, entries) == [("fee", (1,), (2, 3)), ("fee", (2,), (1, 4))]


def test_a_line_is_the_sum_of_neighbouring_entries() -> None:
    entries = [item(n, 1 + n // 5, amount) for n, amount in enumerate([1234, 5711, 9023, 3117, 8851, 2299, 4483])]

    assert found([item(1, 3, 9023 + 3117 + 8851)], entries) == [("sum", (1,), (2, 3, 4))]


def test_a_line_is_the_sum_of_all_neighbours_that_nothing_else_takes() -> None:
    """However many they are: what is around them is matched."""
    entries = [item(n, 1 + n // 30, 10_007 + 311 * n) for n in range(60)]
    batch = entries[20:45]
    lines = [item(n, one.on.day, one.amount) for n, one in enumerate(entries) if one not in batch]

    made = found([*lines, item(99, 3, sum(one.amount for one in batch))], entries)

    assert made[-1] == ("sum", (99,), tuple(one.id for one in batch))
    assert len(made) == len(lines) + 1


def test_a_line_is_the_sum_of_a_few_entries_from_anywhere() -> None:
    entries = [item(n, 1 + n // 3, amount) for n, amount in enumerate([123401, 571133, 902377, 311719, 885157])]

    assert found([item(1, 3, 123401 + 902377 + 885157)], entries) == [("sum", (1,), (0, 2, 4))]


def test_an_entry_that_came_in_parts_is_their_sum() -> None:
    assert found([item(1, 1, 300017), item(2, 2, 200011)], [item(1, 1, 500028)]) == [("sum", (1, 2), (1,))]


def test_a_sum_that_could_be_another_is_left_open() -> None:
    entries = [item(n, 1, amount) for n, amount in enumerate([100_003, 200_007, 150_002, 150_008, 90_001])]

    assert found([item(1, 1, 300_010)], entries) == []


def test_a_sum_that_chance_would_give_is_left_open() -> None:
    entries = [item(n, 1, amount) for n, amount in enumerate(range(11, 60, 2))]

    assert found([item(1, 1, 11 + 13 + 17 + 59)], entries) == []


def test_a_reversal_and_what_it_reversed_match_once_the_bank_is_past_them() -> None:
    entries = [item(1, 1, 500), item(2, 2, -500, reverses=1)]

    assert found([], entries) == [("reversed", (), (1, 2))]
    assert match([], entries, Terms(window=5, seen_until=JANUARY + timedelta(5))) == []


def test_both_sides_of_a_reversal_that_the_bank_shows_match_its_lines() -> None:
    entries = [item(1, 1, 500), item(2, 2, -500, reverses=1)]

    assert found([item(1, 1, 500), item(2, 3, -500)], entries) == [("date", (1,), (1,)), ("date", (2,), (2,))]


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        (item(1, 1, 500, "INV-17"), item(1, 1, 500, "INV-17")),
        (item(1, 1, 500), item(1, 1, 500)),
        (item(1, 1, 500, text="albatross"), item(1, 20, 500, text="albatross")),
    ],
)
def test_what_was_taken_apart_stays_apart_and_something_else_may_take_its_place(line: Item, entry: Item) -> None:
    other = replace(entry, id=2)
    terms = TERMS._replace(apart=frozenset({(line.id, entry.id)}))

    assert match([line], [entry], terms) == []
    assert [one[1:] for one in match([line], [entry, other], terms)] == [((1,), (2,))]


def test_a_sum_that_was_taken_apart_stays_apart() -> None:
    lines, entries = [item(1, 1, 300017), item(2, 2, 200011)], [item(1, 1, 500028)]

    assert match(lines, entries, TERMS._replace(apart=frozenset({(2, 1)}))) == []


ITEMS = st.lists(
    st.builds(
        item,
        st.just(0),
        st.integers(1, 20),
        st.sampled_from([100, 101, 250, -100, -250, 351, 350, 600_011, 600_111]),
        st.sampled_from(["", "REF-1", "REF-2"]),
        st.sampled_from(["", "alpha beta", "beta gamma REF-17A"]),
        st.sampled_from([0, 0, -1, -100]),
    ),
    max_size=12,
).map(lambda items: [_numbered(number, one) for number, one in enumerate(items)])


def _numbered(number: int, one: Item) -> Item:
    return Item(number, one.on, one.amount, one.fee, one.references, one.mentions, one.words)


@given(ITEMS, ITEMS, st.randoms())
def test_nothing_is_matched_twice_and_every_match_adds_up(
    lines: list[Item], entries: list[Item], random: Random
) -> None:
    matches = match(lines, entries, TERMS)

    assert max(Counter(line for one in matches for line in one.lines).values(), default=1) == 1
    assert max(Counter(entry for one in matches for entry in one.entries).values(), default=1) == 1
    for one in matches:
        assert sum(lines[line].amount for line in one.lines) == sum(entries[entry].amount for entry in one.entries)

    shuffled = random.sample(lines, len(lines)), random.sample(entries, len(entries))
    assert match(*shuffled, TERMS) == matches


@given(st.lists(st.integers(-60, 60), min_size=0, max_size=9), st.integers(-200, 200))
def test_an_explanation_adds_up_and_is_the_only_one_of_its_kind(parts: list[int], whole: int) -> None:
    places = sums.explained(whole, parts)

    if places is not None:
        assert len(places) >= 2
        assert sum(parts[place] for place in places) == whole


def test_a_match_says_its_rule() -> None:
    assert match([item(1, 1, 5)], [item(1, 1, 5)], TERMS) == [Match(Rule.DATE, (1,), (1,))]
