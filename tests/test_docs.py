"""Docs stay true: the command reference is run from top to bottom, the other pages are held to what there is.

`docs/cli.md` is one story. Its console blocks are run in order, in one fresh directory, as real processes; what they
print on stdout and stderr, and the exit code where it is not 0, must be what the page shows. `$ cat FILE` is the
exception: the page is the source of that file, which is written before it is shown.

Some things differ from run to run, so the page is made comparable first, and so is the run:

* ids are numbered in the order in which they appear, so the same id must come back in the same places;
* times are all alike;
* the directory of the run stands as /srv/books, and a table that names it is as narrow as that;
* the version of the embedded PostgreSQL is left out.

A command may name an id or a time that an earlier command printed: the run's own takes its place.

After a change of the output, write the outputs of the page anew, in place, and read the diff:

    REGENERATE_GOLDEN=1 pytest tests/test_docs.py
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sysconfig
from collections.abc import Iterator
from difflib import unified_diff
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from ledgerctl.cli.app import app
from ledgerctl.db import embedded

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "cli.md"
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
REGENERATE = "REGENERATE_GOLDEN"

SHOWN = "/srv/books"
"""Where the page plays."""

UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"
CONSOLE = re.compile(r"(?ms)^```console\n(.*?)^```$")
SHELL = re.compile(r"(?ms)^```sh\n(.*?)^```$")
STEP = re.compile(r"(?m)^(\$ .*\n(?:> .*\n)*)((?:(?!\$ ).*\n)*)")
"""A command, with its continued lines, and what it printed."""

SHOWN_WITHOUT_ITS_OUTPUT = {("demo",), ("completion",), ("serve-metrics",), ("serve",), ("token", "issue")}
"""The demo runs fifteen commands on a server of its own, a completion script is for a shell, a server does not end, and
a token is a secret: none of them is run here."""


# -- the story of docs/cli.md ----------------------------------------------------------------------------------------


class Story:
    """Plays the page: its commands in order in one directory, with the outputs that they give there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now: dict[str, str] = {}
        """Ids and times of the page, and what stands for them in this run."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LEDGERCTL_", "PG", "XDG_"))}
        self.environment = {
            **kept,
            "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]),
            "HOME": str(directory),
            "LOGNAME": "ops",
            "NO_COLOR": "1",
        }

    def play(self, page: str) -> str:
        """The page with the commands and outputs of this run."""
        return CONSOLE.sub(self._block, page)

    def _block(self, block: re.Match[str]) -> str:
        assert block[1].startswith("$ "), f"a console block begins with what is typed: {block[1]}"
        return f"```console\n{STEP.sub(self._step, block[1])}```"

    def _step(self, step: re.Match[str]) -> str:
        lines, recorded = step[1], step[2]
        lines = re.sub(f"{UUID}|{TIME}", lambda found: self.now.get(found[0], found[0]), lines)
        command = re.sub(r"(?m)^[$>] ", "", lines)
        if file := re.fullmatch(r"cat ([\w.-]+)\n", command):
            (self.directory / file[1]).write_text(recorded, encoding="utf-8")
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
        output = self._placed(done.stdout.decode()) + (f"(exit code {done.returncode})\n" if done.returncode else "")
        before, after = (re.findall(f"{UUID}|{TIME}", text) for text in (recorded, output))
        self.now.update(zip(before, after, strict=False))
        return lines + output

    def _placed(self, output: str) -> str:
        """The directory of the page for that of the run, with the columns after it kept in line."""

        place = str(self.directory.resolve())
        extra = " " * (len(place) - len(SHOWN))
        if re.search(rf"{re.escape(place)}\S*  ", output):
            output = re.sub(rf"(?m)^((?!.*{re.escape(place)}).*?  ){extra}", r"\1", output)
        return output.replace(place, SHOWN)


def comparable(page: str) -> str:
    ids: dict[str, str] = {}

    def block(found: re.Match[str]) -> str:
        text = re.sub(UUID, lambda one: ids.setdefault(one[0], f"<id {len(ids) + 1}>"), found[0])
        text = re.sub(TIME, "<time>", text)
        text = re.sub(r'"duration_s": [0-9.]+', '"duration_s": <seconds>', text)
        return re.sub(r"(?m)^(embedded .*?)\d+\.\d+", r"\1<version>", text)

    return CONSOLE.sub(block, page)


@pytest.mark.timeout(300)
def test_every_command_of_the_reference_prints_what_the_page_shows(directory: Path) -> None:
    page = REFERENCE.read_text(encoding="utf-8")
    try:
        played = Story(directory).play(page)
    finally:
        embedded.stop(directory / "ledgerctl-data")
    if os.environ.get(REGENERATE):
        REFERENCE.write_text(played, encoding="utf-8")
        return

    shown, found = (comparable(text).splitlines() for text in (page, played))
    difference = "\n".join(unified_diff(shown, found, "docs/cli.md", "this run", lineterm=""))
    if difference:
        pytest.fail(f"{difference}\n\nTo write the outputs anew: {REGENERATE}=1 pytest tests/test_docs.py", False)


# -- the command tree ------------------------------------------------------------------------------------------------


def tree(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from tree(child, *path, name)


COMMANDS = dict(tree(typer.main.get_command(app)))
LEAVES = {path: command for path, command in COMMANDS.items() if not hasattr(command, "commands")}
SECTIONS = dict(re.findall(r"(?ms)^#{2,3} (.*?)\n(.*?)(?=^#{2,3} |\Z)", REFERENCE.read_text(encoding="utf-8")))


def named(path: tuple[str, ...]) -> str:
    return " ".join(("ledgerctl", *path))


def options(command: Any) -> Iterator[Any]:
    yield from (one for one in command.params if one.param_type_name == "option")


def long_names(command: Any) -> set[str]:
    return {name for one in options(command) for name in one.opts if name.startswith("--")}


@pytest.mark.parametrize("path", COMMANDS, ids=named)
def test_every_command_and_every_option_has_help(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]

    assert command.help
    assert [one.opts for one in options(command) if not one.help] == []


@pytest.mark.parametrize("path", LEAVES, ids=named)
def test_every_command_has_a_section_with_an_example_and_its_options(path: tuple[str, ...]) -> None:
    section = SECTIONS.get(named(path), "")
    kind = SHELL if path in SHOWN_WITHOUT_ITS_OUTPUT else CONSOLE

    assert any(f"{named(path)}\n" in block or f"{named(path)} " in block for block in kind.findall(section))
    explained = set(re.findall(r"--[a-z-]+", CONSOLE.sub("", section)))
    assert long_names(LEAVES[path]) - explained == set()


def test_the_global_options_have_a_section() -> None:
    assert long_names(COMMANDS[()]) - set(re.findall(r"--[a-z-]+", SECTIONS["Global options"])) == set()


def test_the_reference_names_no_option_that_there_is_not() -> None:
    known = {name for command in COMMANDS.values() for name in long_names(command)} | {"--help"}

    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", REFERENCE.read_text(encoding="utf-8"))) - known == set()


# -- commands on the other pages -------------------------------------------------------------------------------------


def shown_commands(page: Path) -> Iterator[list[str]]:
    """What stands in code on a page and begins with `ledgerctl`, as arguments, without what a shell makes of it."""
    text = re.sub(r"\\\n\s*", "", CONSOLE.sub("", page.read_text(encoding="utf-8")))
    in_lines = re.findall(r"(?m)^(?: {4})?(?:\$ )?(?:sudo )?ledgerctl (.*)$", text)
    for line in [*in_lines, *re.findall(r"`ledgerctl ([^`]+)`", text)]:
        words = shlex.split(line, comments=True)
        end = next((place for place, word in enumerate(words) if word.startswith(("|", ">", "&&", "2>"))), len(words))
        if words[:end] != ["..."]:
            yield words[:end]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_line_on_a_page_is_understood(page: Path) -> None:
    misunderstood = [line for line in shown_commands(page) if tuple(line) not in COMMANDS and parse(line)]

    assert misunderstood == []


def parse(line: list[str]) -> Any:
    """The exit code of a command line when its commands do nothing: 0 or None if it can be parsed."""
    return idle().main(args=line, prog_name="ledgerctl", standalone_mode=False)


@cache
def idle() -> Any:
    """The commands, which do nothing."""
    root = typer.main.get_command(app)
    for path, command in tree(root):
        if path and (not hasattr(command, "commands") or command.invoke_without_command):
            command.callback = lambda **_given: None
    return root


# -- the pages themselves --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    ours = [target.partition("#") for target in targets if not re.match(r"[a-z]+:", target)]

    dead = [
        f"{path}#{anchor}"
        for path, _, anchor in ours
        if not (place := page.parent / path if path else page).exists() or (anchor and anchor not in anchors(place))
    ]

    assert dead == []


def anchors(page: Path) -> set[str]:
    """The names that a page's headings have in a link."""
    headings = re.findall(r"(?m)^#+ (.*)$", re.sub(r"(?ms)^```.*?^```$", "", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_has_the_two_commands_in_one_line_each() -> None:
    lines = [line for line in README.read_text(encoding="utf-8").splitlines() if "venv" in line]

    assert [line.split(" && ")[-1] for line in lines] == [".venv/bin/ledgerctl demo", ".venv/bin/pytest"]
    assert all(line.startswith("    python3 -m venv .venv && ") and line.count(" && ") == 2 for line in lines)


def test_no_tracked_file_names_a_registry_or_a_home_directory() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a checkout")
    unwanted = {
        "a registry": r"https?://[^\s\"']+/simple\b|--(?:extra-)?index-url[ =]|--trusted[-]host|--find[-]links",
        "a home directory": r"(?<![\w.$}])/(?:home|Users)[/]\w|(?<![\w.$}])/root[/]",
    }

    found = [
        f"{name} names {what}: {match[0]}"
        for name in listed.stdout.split("\0")
        if name and (ROOT / name).is_file()
        for what, pattern in unwanted.items()
        for match in re.finditer(pattern, (ROOT / name).read_text(encoding="utf-8", errors="replace"))
    ]

    assert found == []


def test_the_architecture_names_only_files_that_there_are() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    names = set(re.findall(r"[\w/*-]+\.(?:py|sql|md|toml)\b|\b(?:cli|core|db|formats|migrations|services)/\w*", text))
    places = (ROOT, ROOT / "docs", ROOT / "ledgerctl")

    missing = [
        name for name in sorted(names) if not any([*place.glob(name), *place.glob(f"{name}.py")] for place in places)
    ]

    assert len(names) > 20
    assert missing == []
