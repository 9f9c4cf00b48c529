"""An import whose every row pays one account, against the same import with its payments spread over 10,000 accounts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import harness
from tests.benchmarks.harness import ratio, say, spread

ACCOUNTS = 10_000
SPREAD, HOT = "spread over all accounts", "every row pays one account"


def main() -> None:
    asked = harness.options(__doc__ or "", rows=200_000, rounds=5)
    with harness.server() as host:
        harness.prepare(host, "checked", ACCOUNTS)
        files = {SPREAD: host.directory / "spread.csv", HOT: host.directory / "hot.csv"}
        # One account more than the payers come from: the receiver is never the payer.
        harness.write_csv(files[SPREAD], asked.rows, ACCOUNTS - 1)
        harness.write_csv(files[HOT], asked.rows, ACCOUNTS - 1, harness.account_code(ACCOUNTS - 1))

        def import_(file: Path) -> Callable[[], float]:
            def measured() -> float:
                host.fresh("twin", "checked")
                host.checkpoint()
                return harness.run_import(host, "twin", file)

            return measured

        import_(files[SPREAD])()  # warms the caches
        seconds = harness.alternate(asked.rounds, {what: import_(file) for what, file in files.items()})
        rates = {what: [asked.rows / each for each in values] for what, values in seconds.items()}
        harness.table(["what", "transfers/s", "min-max"], [[what, *spread(values)] for what, values in rates.items()])
        say("")
        say(f"{HOT} / {SPREAD}: {ratio(rates[HOT], rates[SPREAD])}")
        say("")
        harness.conditions(host, rows=asked.rows, accounts=ACCOUNTS, rounds=asked.rounds)


if __name__ == "__main__":
    main()
