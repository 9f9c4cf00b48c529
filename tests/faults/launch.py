"""`python -m tests.faults.launch ARGS`: the command line itself, which dies where LEDGERCTL_FAILPOINT says."""

from __future__ import annotations

from ledgerctl.__main__ import main
from tests.faults import points

points.watch(None)
main()
