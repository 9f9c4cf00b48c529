"""docs/api.md stays true: its curl commands are run from top to bottom, and answered as the page shows.

After a change, write the answers anew, in place, and read the diff: REGENERATE_GOLDEN=1 pytest tests/api/test_page.py
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from difflib import unified_diff
from pathlib import Path

import pytest

from ledgerctl.api import app
from tests.api.conftest import Client, configured
from tests.test_docs import REGENERATE, ROOT, Story, comparable

PAGE = ROOT / "docs" / "api.md"
JSON_OPTION = (7, 82)
"""The first curl that knows --json."""


def require_curl() -> None:
    found = shutil.which("curl")
    if found is None:
        pytest.skip("there is no curl here")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < JSON_OPTION:
        pytest.skip("this curl does not know --json (7.82 does)")


def test_the_page_of_the_api_shows_what_happens(api: Client, directory: Path) -> None:
    require_curl()
    story = Story(directory)
    story.environment |= {"API": f"{api.base_url}/api/v1".replace("//api", "/api"),
                          "TOKEN": api.token("shop", "accounts:write", "transfers:write", "read", "reverse"),
                          "no_proxy": "127.0.0.1"}  # fmt: skip
    page = PAGE.read_text(encoding="utf-8")

    played = story.play(page)

    if os.environ.get(REGENERATE):
        PAGE.write_text(played, encoding="utf-8")
        return
    shown, run = (comparable(text).splitlines() for text in (page, played))
    assert list(unified_diff(shown, run, "the page", "this run", lineterm="")) == []


def test_the_page_names_every_route_and_status_of_the_api(conninfo: str, secret: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    document = app.create(configured(conninfo, secret), "tests").openapi()
    statuses = {status for item in document["paths"].values() for one in item.values() for status in one["responses"]}

    refusals = sorted(statuses - {"200", "201"})
    assert [status for status in refusals if not re.search(rf"(?m)^\| .*\b{status}\b", text)] == []
    for path in document["paths"]:
        shown = re.sub(r"\{.*?\}", "[^/ ]+", path.removeprefix("/api/v1"))
        assert re.search(rf"{shown}\b", text), path
