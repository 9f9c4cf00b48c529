"""ledgerctl completion: the scripts under completions/, and the account codes that they offer."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from ledgerctl.cli import output
from ledgerctl.errors import BadConfig, BadUsage, Exit

SCRIPTS = {"bash": "ledgerctl.bash", "zsh": "_ledgerctl", "fish": "ledgerctl.fish"}
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
    typer.echo(_script(SCRIPTS[shell]), nl=False)


def _script(name: str) -> str:
    """From `completions/` inside an installed package, or at the top of a checkout."""
    package = Path(__file__).resolve().parent.parent
    for place in (package / "completions", package.parent / "completions"):
        if (place / name).is_file():
            return (place / name).read_text(encoding="utf-8")
    raise BadConfig(detail="the completion scripts are missing from this installation")


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
