"""ledgerctl completion: static scripts that are fresh and really complete, without starting Python."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ledgerctl.cli.completion import SCRIPTS, remember_accounts
from ledgerctl.errors import Exit
from tests.conftest import Run
from tools import generate_completions

ROOT = Path(__file__).parent.parent.parent
BASH = ROOT / "completions" / "ledgerctl.bash"


def offered(tmp_path: Path, *words: str) -> list[str]:
    """What bash offers for the last of the words. PATH is empty: nothing can be started."""
    script = (
        f'source {BASH}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${{#COMP_LINE}}; '
        '_ledgerctl; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        [shutil.which("bash") or "/bin/bash", "-c", script, "bash", "ledgerctl", *words],
        env={"PATH": "", "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_the_scripts_are_fresh() -> None:
    for name, text in generate_completions.render().items():
        found = (ROOT / "completions" / name).read_text(encoding="utf-8")
        assert found == text, "run: python tools/generate_completions.py"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("tr",), ["transfer", "transaction"]),
        (("account", "cl"), ["close"]),
        (("-o", "json", "account", "fr"), ["freeze"]),
        (("balance", "-o", "j"), ["json", "jsonl"]),
        (("--color", "a"), ["auto", "always"]),
        (("account", "create", "x", "--type", "e"), ["equity", "expense"]),
        (("transfer", "--desc"), ["--description"]),
        (("history", "--acto"), ["--actor"]),
        (("help", "ex"), ["exit-codes"]),
        (("completion", ""), ["bash", "zsh", "fish"]),
        (("transfer", "customers:al"), ["alice"]),
        (("transfer", "customers:alice", "as"), ["assets:bank"]),
        (("history", "-i"), []),
    ],
)
def test_bash_completes(tmp_path: Path, words: tuple[str, ...], expected: list[str]) -> None:
    (tmp_path / "ledgerctl").mkdir()
    (tmp_path / "ledgerctl" / "accounts-default.txt").write_text("assets:bank\ncustomers:alice\ncustomers:bob\n")

    assert sorted(offered(tmp_path, *words)) == sorted(expected)


def test_without_known_accounts_a_tab_is_silent(tmp_path: Path) -> None:
    assert offered(tmp_path, "transfer", "x") == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_script_is_right_for_its_shell(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here, and only it can read its script")

    subprocess.run([shell, "-n", str(ROOT / "completions" / SCRIPTS[shell])], check=True)


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_script_is_printed(ledgerctl: Callable[..., Run], shell: str) -> None:
    done = ledgerctl("completion", shell)

    assert (done.code, done.err) == (Exit.DONE, "")
    assert done.out == (ROOT / "completions" / SCRIPTS[shell]).read_text(encoding="utf-8")


def test_another_shell_is_a_wrong_argument(ledgerctl: Callable[..., Run]) -> None:
    assert ledgerctl("completion", "tcsh").code == Exit.USAGE


def test_codes_are_remembered_by_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    remember_accounts("", ["b", "a"])
    remember_accounts("", ["c", "a"])
    remember_accounts("prod", ["p"])

    file = tmp_path / "ledgerctl" / "accounts-default.txt"
    assert file.read_text() == "a\nb\nc\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "ledgerctl" / "accounts-prod.txt").read_text() == "p\n"
    assert len(list((tmp_path / "ledgerctl").iterdir())) == 2


def test_a_cache_that_cannot_be_written_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

    remember_accounts("", ["a"])
