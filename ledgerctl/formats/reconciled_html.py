"""A run of reconciliation as one page of HTML for people: it loads nothing, and every text in it is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: 0 } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
.clean { color: #12703b } .differences { color: #b3261e }
table { border-collapse: collapse; width: 100% } caption { text-align: left; color: #5b6875 }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #dde3e9; text-align: left; vertical-align: top }
th { font-weight: 600 } .amount { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.day { white-space: nowrap } .none { color: #5b6875 }
@media print { body { margin: 0; max-width: none } h2, tr { break-inside: avoid } }
"""
_TOTALS = {
    "bank": "Balance at the bank",
    "books": "Balance in the books",
    "open_lines": "Open lines of the bank",
    "open_entries": "Open entries of the books",
    "unexplained": "Unexplained",
}
_RULES = {
    "reference": "the same reference and amount",
    "mention": "a reference that is mentioned in the text",
    "reference-sum": "amounts under one reference that add up",
    "date": "the same amount within the window of days",
    "text": "the same amount and a text that is alike",
    "fee": "a gross amount and its fee",
    "sum": "several that add up to one",
    "reversed": "reversed in the books, never at the bank",
}


def page(run: Mapping[str, Any]) -> str:
    """The run, as `formats/reconciled.run` shapes it, with its `matches` if it is one of an account."""
    subject = f"Account {run['account']}" if run["account"] else "The books"
    parts = [_head(run, subject)]
    if run["mode"] == "statement":
        parts += [_totals(run), _matched(run)]
    parts.append(_findings(run["findings"]))
    if run["mode"] == "statement":
        parts += [_open(run), _matches(run)]
    return "\n".join(
        (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(subject)}: {escape(run['status'])}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
            *parts,
            "</body>\n</html>\n",
        )
    )


def _head(run: Mapping[str, Any], subject: str) -> str:
    checked = ", ".join(f"{count:,} {noun}" for noun, count in run["checked"].items())
    until = f", told by the bank until {run['tells_until']}" if run["mode"] == "statement" else f", {run['mode']}"
    findings = len(run["findings"])
    verdict = "clean" if not findings else f"{findings:,} difference{'s' if findings > 1 else ''}"
    return (
        f'<h1>{escape(subject)}: <span class="{escape(run["status"])}">{verdict}</span></h1>\n'
        f"<p>Run {escape(run['run_id'])} by {escape(run['actor'])}, {escape(run['started_at'])} to "
        f"{escape(run['finished_at'])}. Checked: {escape(checked)}{escape(until)}.</p>"
    )


def _totals(run: Mapping[str, Any]) -> str:
    rows = [
        (words, "unknown" if run["totals"][name] is None else f"{run['totals'][name]} {run['currency']}")
        for name, words in _TOTALS.items()
    ]
    return _table("Totals", ("", "amount"), rows, caption="Positive is in favour of the account's holder.")


def _matched(run: Mapping[str, Any]) -> str:
    rows = [(rule, _RULES.get(rule, ""), f"{count:,}") for rule, count in run["matched"].items()]
    return _table("Matched by rule", ("rule", "which is", "amount"), rows, none="Nothing was matched in this run.")


def _findings(findings: Sequence[Mapping[str, str]]) -> str:
    rows = [tuple(finding[name] for name in ("check", "subject", "expected", "found")) for finding in findings]
    return _table("Findings", ("check", "subject", "expected", "found"), rows, none="There are none.")


def _open(run: Mapping[str, Any]) -> str:
    items = run["open_items"]
    left = run["open"]["lines"] + run["open"]["entries"] - len(items)
    rows = [(one["kind"], str(one["id"]), one["on"], one["amount"], one["text"]) for one in items]
    caption = f"{left:,} more are open." if left else ""
    return _table("Open", ("kind", "id", "day", "amount", "text"), rows, none="Nothing is open.", caption=caption)


def _matches(run: Mapping[str, Any]) -> str:
    rows = []
    for one in run["matches"]:
        rule = f"{one['rule']}, taken apart since" if one["undone_at"] else one["rule"]
        lines = "\n".join(_part(line["on"], line["amount"], line["counterparty"], line["description"])
                          for line in one["lines"])  # fmt: skip
        entries = "\n".join(_part(f"{entry['on']} seq {entry['seq']}", entry["amount"], entry["description"])
                            for entry in one["entries"])  # fmt: skip
        rows.append((one["match_id"], rule, lines, entries))
    return _table("Matches", ("id", "rule", "lines of the bank", "entries of the books"), rows, none="None was made.")


def _part(where: str, amount: str, *texts: str | None) -> str:
    return " ".join((where, amount, *(text for text in texts if text)))


def _table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, none: str = "", caption: str = ""
) -> str:
    body = [f"<tr>{''.join(map(_cell, columns, row))}</tr>" for row in rows]
    if not body:
        return f'<h2>{escape(title)}</h2>\n<p class="none">{escape(none)}</p>'
    names = "".join(f'<th class="{_class(name)}">{escape("" if name == "amount" else name)}</th>' for name in columns)
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    lines = "\n".join(body)
    return (
        f"<h2>{escape(title)}</h2>\n<table>{said}\n<thead><tr>{names}</tr></thead>\n<tbody>\n{lines}\n</tbody></table>"
    )


def _cell(column: str, text: str) -> str:
    return f'<td class="{_class(column)}">{"<br>".join(map(escape, text.splitlines()))}</td>'


def _class(column: str) -> str:
    return column if column in ("amount", "day") else "text"
