"""The last word on an import: its receipt, and the line of the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ledgerctl.db import audit, imports
from ledgerctl.db.pipeline import Executor
from ledgerctl.services.import_job import Job
from ledgerctl.services.tally import Tally


def close(conn: Executor, job: Job, import_id: int, tally: Tally, activity: Mapping[str, Any]) -> None:
    """Write the receipt's last word, and the line of the audit log, with what this transaction itself posted."""
    status = _status(job, tally)
    rejects_file = job.rejects.name if tally.rejected else None
    counts = tally.counts()._replace(rows=job.survey.rows)
    imports.record(conn, job.books.ledger, import_id, status, counts, rejects_file=rejects_file, finished=True)
    outcome = {"complete": "posted", "partial": "posted in part", "refused": "refused"}[status]
    _log(conn, job, import_id, outcome, tally, activity)


def _status(job: Job, tally: Tally) -> str:
    if not tally.rejected and tally.rows == job.survey.rows:
        return "complete"
    return "partial" if tally.posted or tally.replayed else "refused"


def refuse(conn: Executor, job: Job, tally: Tally, reason: str) -> int:
    """After the rollback: a receipt and an audit row that say what was tried."""
    books, survey = job.books, job.survey
    import_id = imports.begin(conn, books.ledger, job.file.name, survey.sha256, books.actor, "refused")
    counts = tally.counts()._replace(rows=survey.rows, decided=0, posted=0)
    rejects_file = job.rejects.name if tally.rejected else None
    imports.record(conn, books.ledger, import_id, "refused", counts, rejects_file=rejects_file, finished=True)
    _log(conn, job, import_id, "refused", tally, {"reason": reason})
    return import_id


def _log(conn: Executor, job: Job, import_id: int, outcome: str, tally: Tally, more: Mapping[str, Any]) -> None:
    detail: dict[str, Any] = {
        "rows": job.survey.rows,
        "posted": tally.posted,
        "replayed": tally.replayed,
        "rejected": tally.rejected,
    }
    if tally.reasons:
        detail["reasons"] = dict(tally.reasons)
    line = audit.Line("import", str(import_id), outcome, {**detail, "sha256": job.survey.sha256.hex(), **more})
    audit.log(conn, job.books.ledger, job.books.actor, job.books.request_id, [line])
