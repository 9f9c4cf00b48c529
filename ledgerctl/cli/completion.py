"""ledgerctl completion: the scripts under completions/, and the account codes that they offer."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from ledgerctl.cli import output
from ledgerctl.errors import BadConfig, BadUsage, Exit

SCRIPTS = {"bash": "ledgerctl.bash", "zsh": "_ledgerctl", "fish": "ledgerctl.fish"}
NAMES = {"bash": ("ledgerctl", "ledgerctl.bash"), "zsh": ("_ledgerctl",), "fish": ("ledgerctl.fish",)}
"""What the file of a script may be called where its shell looks for it."""
CODES_MAX = 5_000


def register(root: typer.Typer) -> None:
    root.command(epilog=output.exits(Exit.USAGE))(completion)


def completion(shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish", help="Your shell.")]) -> None:
    """Print the completion script of a shell.

    bash: ledgerctl completion bash > ~/.local/share/bash-completion/completions/ledgerctl

    zsh: ledgerctl completion zsh > DIR/_ledgerctl, where DIR is one of $fpath

    fish: ledgerctl completion fish > ~/.config/fish/completions/ledgerctl.fish
    """
    if shell not in SCRIPTS:
        raise BadUsage(detail=f"there is no completion for '{shell}'; there is for {', '.join(SCRIPTS)}")
    typer.echo(script(shell), nl=False)


def script(shell: str) -> str:
    """From `completions/` inside an installed package, or at the top of a checkout."""
    package = Path(__file__).resolve().parent.parent
    for place in (package / "completions", package.parent / "completions"):
        if (place / SCRIPTS[shell]).is_file():
            return (place / SCRIPTS[shell]).read_text(encoding="utf-8")
    raise BadConfig(detail="the completion scripts are missing from this installation")


def installed() -> Iterator[tuple[str, Path]]:
    """Shell and file of the scripts that stand where shells look by themselves. What $fpath adds, only zsh knows."""
    home = os.path.expanduser("~")  # noqa: PTH111 - Path raises without a home
    own = os.environ.get("XDG_DATA_HOME") or f"{home}/.local/share"
    shared = (os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share").split(":")
    places = [("fish", Path(os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config", "fish", "completions"))]
    for data in (own, *shared):
        places += [
            ("bash", Path(data, "bash-completion", "completions")),
            ("zsh", Path(data, "zsh", "site-functions")),
            ("fish", Path(data, "fish", "vendor_completions.d")),
        ]
    for shell, place in places:
        for name in NAMES[shell]:
            if os.path.isfile(place / name):  # noqa: PTH113 - a place that may not be looked into holds none for us
                yield shell, place / name


def remember_accounts(profile: str, codes: Iterable[str]) -> None:
    """Add codes to those that a TAB offers. Only a convenience: whatever goes wrong here stops nothing."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - Path raises without a home
    file = Path(cache) / "ledgerctl" / f"accounts-{profile or 'default'}.txt"
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        known = set(file.read_text(encoding="utf-8").split()) if file.exists() else set()
        if known.issuperset(codes := set(codes)):
            return
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as new:
            new.writelines(f"{code}\n" for code in sorted(known | codes)[:CODES_MAX])
        part.replace(file)
    except (OSError, ValueError):
        return
