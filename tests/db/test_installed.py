"""What is built into the wheel works from there: the migrations are found beside the package, not in a checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import psycopg
import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILT = ("ledgerctl", "migrations", "completions", "pyproject.toml", "README.md", "ledgerctl.toml.example")
MIGRATE = """
import sys
from ledgerctl.db import migrate
migrate.upgrade(sys.argv[1])
print(migrate._scripts())
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Where the wheel of this checkout is unpacked, as pip does it."""
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed")
    copy, wheels, site = tmp_path / "copy", tmp_path / "wheels", tmp_path / "site"
    copy.mkdir()
    for name in BUILT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, copy / name)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    built = subprocess.run(build, cwd=copy, capture_output=True, text=True, timeout=100, check=False)
    assert built.returncode == 0, built.stderr
    [wheel] = wheels.glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def test_an_installed_program_migrates_and_completes_without_its_checkout(installed: Path, empty_conninfo: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MIGRATE, empty_conninfo],
        cwd=installed.parent,
        env={**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(installed / "ledgerctl" / "migrations")
    with psycopg.connect(empty_conninfo) as conn:
        assert conn.execute("SELECT count(*) FROM pg_trigger WHERE tgenabled = 'A'").fetchall() != [(0,)]
    shipped = {path.name for path in (installed / "ledgerctl" / "completions").iterdir()}
    assert shipped == {path.name for path in (ROOT / "completions").iterdir()}
    assert shipped
