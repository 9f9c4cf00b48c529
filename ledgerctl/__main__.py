"""`ledgerctl`, and `python -m ledgerctl`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    if sys.argv[1:] == ["--version"]:  # answered before anything is imported
        from ledgerctl import __version__

        print(f"ledgerctl {__version__}")  # noqa: T201 - the answer itself
        return

    from ledgerctl.cli.app import run

    sys.exit(run())


if __name__ == "__main__":
    main()
