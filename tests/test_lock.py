"""requirements.txt: hashed, without the address of any index, and with every dependency of the project."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCK = (ROOT / "requirements.txt").read_text(encoding="utf-8")


def test_every_requirement_is_pinned_and_hashed() -> None:
    blocks = re.split(r"\n(?=[A-Za-z])", re.sub(r"(?m)^ *#.*\n", "", LOCK))

    for block in filter(str.strip, blocks):
        assert re.match(r"[A-Za-z0-9_.\-]+==", block), block
        assert "--hash=sha256:" in block, block


def test_no_index_is_named() -> None:
    assert "://" not in LOCK
    assert not re.search(r"(?m)^-", LOCK)  # no option of pip's, such as one that names an index


def test_every_dependency_of_the_project_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    locked = set(re.findall(r"(?m)^([A-Za-z0-9_.\-]+)==", LOCK))

    names = {re.match(r"[A-Za-z0-9_.\-]+", one)[0].lower() for one in wanted}  # type: ignore[index]  # it matches
    assert {re.sub(r"[-_.]+", "-", name) for name in names} <= locked
