"""After a power cut all that was acknowledged is there; on a server that does not sync, it is not."""

from __future__ import annotations

import pytest

from tests.faults import cutting, power

CUTS = {"ci": 3, "nightly": 30, "release": 100}
CONTROLS = {"ci": 1, "nightly": 5, "release": 20}
STRIKES = {"ci": 3, "nightly": 10, "release": 50}


@pytest.fixture(autouse=True)
def disks() -> None:
    if reason := power.impossible():
        pytest.skip(reason)


@pytest.mark.timeout(3600)
def test_nothing_acknowledged_is_lost(tier: str) -> None:
    total = cutting.run(CUTS[tier])
    assert total.in_flight > 0
    assert total.acknowledged > 0
    assert total.unreadable == []
    assert total.violations == []
    assert total.lost == 0


@pytest.mark.timeout(3600)
def test_without_fsync_it_is_lost(tier: str) -> None:
    """Bug 27: else the cuts above cut nothing."""
    total = cutting.run(CONTROLS[tier], cutting.UNSAFE)
    assert total.losing > 0.9 * total.cuts


@pytest.mark.timeout(3600)
def test_a_full_disk_stops_the_ledger_and_hurts_nothing(tier: str) -> None:
    result = cutting.fill_up(STRIKES[tier])
    assert result.violations == {}
    assert result.verdict == "sound"  # some commit was struck
