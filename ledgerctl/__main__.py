"""`ledgerctl`, and `python -m ledgerctl`."""

from __future__ import annotations

import io
import os
import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    _standard_streams()
    try:
        sys.exit(_run())
    except BrokenPipeError:  # help and version are printed before any command could take care of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(141)
    except KeyboardInterrupt:  # while the program is still being loaded
        sys.exit(130)


def _run() -> int:
    if sys.argv[1:] == ["--version"]:  # answered before anything is imported
        from ledgerctl import __version__

        print(f"ledgerctl {__version__}", flush=True)  # noqa: T201 - the answer itself
        return 0

    from ledgerctl.cli.app import run

    code = run()
    sys.stdout.flush()
    return code


def _standard_streams() -> None:
    """A stream that was closed is empty; one that is open speaks UTF-8, whatever the locale of a cron job says."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - for the whole process
        elif isinstance(stream, io.TextIOWrapper) and name != "stdin":
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


if __name__ == "__main__":
    main()
