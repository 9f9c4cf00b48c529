"""Requests on disk for as long as nobody knows what became of them."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from ledgerctl import pending
from ledgerctl.core import requesting
from ledgerctl.errors import BadConfig, InsufficientFunds, OutcomeUnknown
from ledgerctl.ids import uuid7, uuid7s
from ledgerctl.pending import Pending


def request_of(key: str) -> Pending:
    request = requesting.transfer(uuid7(), key, "bank", "alice", Decimal("5.00"), "EUR", description="Rent")
    return Pending(request, "main", "2026-01-31T00:00:00Z", "embedded:/somewhere", "ann", "2026-01-31T10:00:00Z")


def files(directory: Path) -> list[Path]:
    return sorted((directory / "pending").iterdir())


def never() -> bool:
    return False


def test_a_request_is_on_disk_while_it_is_sent_for_its_owner_alone(tmp_path: Path) -> None:
    about = request_of("k")

    with pending.kept(tmp_path / "state", about, never):
        [file] = files(tmp_path / "state")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        [found] = pending.left(tmp_path / "state")
        assert (found.request, found.alive, found.path) == (about.request, True, file)
        assert (found.ledger, found.place, found.actor) == ("main", "embedded:/somewhere", "ann")

    assert files(tmp_path / "state") == []


def test_it_is_synced_with_its_directory_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bool] = []
    fsync = os.fsync

    def noticed(descriptor: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noticed)

    with pending.kept(tmp_path, request_of("k"), never):
        assert synced == [False, True]


@pytest.mark.parametrize(
    ("error", "doubt", "stays"),
    [
        (InsufficientFunds(account="a", available="1", needed="2", currency="EUR"), True, False),
        (OutcomeUnknown(detail="gone"), True, True),
        (KeyboardInterrupt(), False, False),
        (SystemExit(143), False, False),
        (KeyboardInterrupt(), True, True),
        (SystemExit(143), True, True),
        (ZeroDivisionError(), False, True),
    ],
)
def test_it_stays_if_and_only_if_the_outcome_is_not_known(
    tmp_path: Path, error: BaseException, doubt: bool, stays: bool
) -> None:
    told = OutcomeUnknown if stays and not isinstance(error, ZeroDivisionError) else type(error)

    with pytest.raises(told) as caught, pending.kept(tmp_path, request_of("rent"), lambda: doubt):
        raise error

    assert len(files(tmp_path)) == stays
    assert [one.alive for one in pending.left(tmp_path)] == [False] * stays
    if isinstance(caught.value, OutcomeUnknown):
        assert caught.value.details["key"] == "rent"
        assert caught.value.advice == "ledgerctl resolve tells what became of the key 'rent'"


def test_the_oldest_is_the_first(tmp_path: Path) -> None:
    ids = uuid7s(3)  # one after another, even within a millisecond
    for key, new_id in [("c", ids[2]), ("a", ids[0]), ("b", ids[1])]:
        about = request_of(key)
        about = replace(about, request=about.request._replace(id=new_id))
        with pytest.raises(OutcomeUnknown), pending.kept(tmp_path, about, never):
            raise OutcomeUnknown(detail="gone")

    assert [one.request.key for one in pending.left(tmp_path)] == ["a", "b", "c"]


def test_where_nothing_was_ever_kept_nothing_is_left(tmp_path: Path) -> None:
    assert pending.left(tmp_path / "never") == []


def test_a_file_that_was_never_whole_was_never_sent(tmp_path: Path) -> None:
    (tmp_path / "pending").mkdir()
    (tmp_path / "pending" / "x.half").write_text('{"version"', encoding="utf-8")

    assert pending.left(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "is damaged"), ('{"version": 1}', "is damaged"), ("[]", "is damaged"), ('{"version": 2}', "another version")],
)
def test_what_cannot_be_read_is_not_passed_over(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "pending").mkdir()
    (tmp_path / "pending" / "x.json").write_text(content, encoding="utf-8")

    with pytest.raises(BadConfig, match=words):
        pending.left(tmp_path)


def test_what_cannot_be_read_is_counted_and_keeps_nobody_from_sending(tmp_path: Path) -> None:
    (tmp_path / "pending").mkdir()
    (tmp_path / "pending" / "x.json").write_text("damaged", encoding="utf-8")

    with pending.kept(tmp_path, request_of("k"), never):
        assert pending.lost(tmp_path) == 1


def test_nothing_is_sent_that_cannot_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(BadConfig, match="cannot be kept"), pending.kept(tmp_path / "file", request_of("k"), never):
        raise AssertionError("it must not come so far")


def test_a_link_that_waits_in_its_place_is_not_followed(tmp_path: Path) -> None:
    about = request_of("k")
    (tmp_path / "pending").mkdir()
    (tmp_path / "pending" / f"{about.request.id}.half").symlink_to(tmp_path / "target")

    with pytest.raises(BadConfig), pending.kept(tmp_path, about, never):
        raise AssertionError("it must not come so far")

    assert not (tmp_path / "target").exists()


def test_the_file_says_what_was_asked_for_to_people_too(tmp_path: Path) -> None:
    with pending.kept(tmp_path, request_of("rent"), never):
        [file] = files(tmp_path)
        shape = json.loads(file.read_text(encoding="utf-8"))

    assert shape["request"]["idempotency_key"] == "rent"
    assert shape["request"]["entries"][0] == {"account": "bank", "debit": "5.00", "currency": "EUR"}


def test_half_a_file_of_a_command_that_was_killed_is_cleared_away_in_time(tmp_path: Path) -> None:
    place = pending.place(tmp_path)
    place.mkdir()
    (place / "old.half").write_bytes(b"{")
    (place / "new.half").write_bytes(b"{")
    os.utime(place / "old.half", (0, 0))

    assert pending.left(tmp_path) == []

    assert [file.name for file in files(tmp_path)] == ["new.half"]
