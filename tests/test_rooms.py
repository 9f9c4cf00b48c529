"""The rooms of docs/architecture.md: who may import whom, and what a command loads before it needs it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ledgerctl"

SOURCES = sorted(PACKAGE.rglob("*.py"))

MAY_IMPORT = {
    "errors": set(),
    "ids": set(),
    "config": {"errors"},
    "core": {"core", "errors"},
    "cache": {"cache", "core", "errors"},
    "tracing": set(),
    "otlp": {"tracing", "__init__"},
    "db": {"db", "core", "config", "errors", "logs", "tracing"},
    "pending": {"core", "formats", "errors"},
    "services": {"services", "cache", "db", "core", "config", "metrics", "errors", "ids", "tracing", "__init__"},
    "formats": {"formats", "core", "config", "ids", "errors"},
    "metrics": set(),
    "exposition": {"metrics"},
    "pushing": {"metrics", "exposition", "config"},
    "serving": {"exposition", "metrics", "errors"},
    "logs": set(),
    "api": {
        *("api", "services", "cache", "db", "core", "formats", "config", "errors", "ids"),
        *("logs", "metrics", "exposition", "tracing", "__init__"),
    },
    "cli": {
        *(
            "cli",
            "api",
            "pending",
            "pushing",
            "serving",
            "services",
            "cache",
            "db",
            "core",
            "formats",
            "config",
            "errors",
            "ids",
        ),
        *("logs", "tracing", "otlp", "__init__"),
    },
    "__main__": {"cli", "__init__"},
    "__init__": set(),
}
"""Of the commands, only those that look after the server itself and those that ask reach into db."""

OF_ONE_ROOM = {
    "typer": {"cli"},
    "rich": {"cli/progress.py"},
    "sqlalchemy": {"db/schema.py", "db/migrate.py"},
    "alembic": {"db/migrate.py"},
    "prometheus_client": {"exposition", "pushing", "serving", "api/counting.py"},
    "wsgiref": {"serving"},
    "opentelemetry": {"otlp"},
    "redis": {"cache/server.py"},
    "fastapi": {"api"},
    "starlette": {"api"},
    "pydantic": {"api"},
    "jwt": {"api"},
    "uvicorn": {"cli/serving_api.py", "api/protocol.py"},
    "psycopg": {"db", "services/books.py", "services/setup.py"},
    "decimal": {
        "core",
        "db",
        "services/payments.py",
        "services/controls.py",
        "services/bank_statements.py",
        "services/bank_reconciling.py",
        "services/bank_matching.py",
        "formats/reconciled.py",
        "formats/account_csv.py",
        "formats/transfer_csv.py",
        "formats/request_json.py",
        "formats/dialect.py",
        "formats/bank/values.py",
        "formats/bank/csv_rows.py",
        "formats/bank/running_balance.py",
        "formats/bank/camt053.py",
        "formats/bank/ofx.py",
    },
    "mt940": {"formats/bank/mt940.py"},
    "xml": {"formats/bank/camt053_xml.py"},
}
STANDARD_ONLY = ("core", "errors", "ids", "tracing")
HEAVY = {
    "psycopg",
    "sqlalchemy",
    "alembic",
    "rich",
    "pydantic",
    "pydantic_settings",
    "fastapi",
    "starlette",
    "jwt",
    "uvicorn",
    "redis",
    "asyncio",
    "prometheus_client",
    "opentelemetry",
    "requests",
    "google",
    "mt940",
    "xml",
}


def _room(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def _imported(path: Path) -> Iterator[str]:
    """Every module that a file names in an import, wherever the import stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_what_it_may(path: Path) -> None:
    room = _room(path)
    ours = [name.split(".") for name in _imported(path)]

    entered = {parts[1] if len(parts) > 1 else "__init__" for parts in ours if parts[0] == "ledgerctl"}
    entered = {"__init__" if name == "__version__" else name for name in entered}

    assert entered <= MAY_IMPORT[room]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_library_is_known_in_its_room_only(path: Path) -> None:
    relative = str(path.relative_to(PACKAGE))
    for name in _imported(path):
        library = name.split(".")[0]
        allowed = OF_ONE_ROOM.get(library)
        assert allowed is None or _room(path) in allowed or relative in allowed, f"{relative} imports {library}"
        if _room(path) in STANDARD_ONLY:
            assert library in sys.stdlib_module_names | {"ledgerctl"}, f"{relative} imports {library}"


def test_statements_of_other_formats_do_not_load_the_library_of_mt940() -> None:
    loaded = _loaded("import ledgerctl.formats.statements, ledgerctl.formats.bank.mt940")

    assert "ledgerctl" in loaded
    assert "mt940" not in loaded


def test_what_checks_the_fault_runs_knows_nothing_of_the_program() -> None:
    """Else it could be wrong where the program is wrong."""
    loaded = _loaded("import tests.faults.checkers, tests.faults.interleaved_books")

    assert "tests" in loaded
    assert "ledgerctl" not in loaded


def _loaded(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}


def test_help_loads_none_of_the_heavy_libraries() -> None:
    loaded = _loaded("import sys\nsys.argv = ['ledgerctl', '--help']\nfrom ledgerctl.cli.app import run\nrun()")

    assert "typer" in loaded
    assert not loaded & HEAVY


def test_pushing_is_loaded_by_jobs_and_doctor_only_and_there_only_when_it_is_asked_for() -> None:
    """tests/cli/test_jobs.py and test_doctor.py see a command load it."""
    users = [path.name for path in SOURCES if "ledgerctl.pushing" in _imported(path)]
    modules = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in (PACKAGE / "cli").glob("*.py")
    ]

    loaded = _loaded("".join(f"import {name}\n" for name in modules))

    assert users == ["jobs.py", "monitored.py"]
    assert "typer" in loaded
    assert "prometheus_client" not in loaded


def test_what_sends_spans_is_loaded_by_one_only_and_there_only_when_there_are_some() -> None:
    """tests/test_tracing.py sees a command do without it."""
    users = [path.name for path in SOURCES if "ledgerctl.otlp" in _imported(path)]

    loaded = _loaded("import ledgerctl.cli.traced, ledgerctl.tracing")

    assert users == ["traced.py"]
    assert "ledgerctl" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize(
    "modules",
    [
        "services.payments",
        "services.importing",
        "services.reconciling",
        "services.examining",
        "services.accounts",
        "db.reports",
    ],
)
def test_no_runtime_path_loads_what_only_migrations_need(modules: str) -> None:
    loaded = _loaded(f"import ledgerctl.{modules}")

    assert "psycopg" in loaded
    assert not loaded & {"sqlalchemy", "alembic", "rich", "prometheus_client", "opentelemetry"}
