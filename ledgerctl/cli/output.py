"""What the operator sees: answers on stdout as table, json, jsonl or csv; everything else on stderr."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

from ledgerctl.errors import BadUsage, Exit, LedgerError

Row = Mapping[str, Any]

FORMATS = ("table", "json", "jsonl", "csv")
_RIGHT = frozenset({"debit", "credit", "balance", "min_balance", "max_balance", "seq", "exponent", "rows"})
_RIGHT_COUNTS = frozenset({"posted", "replayed", "rejected", "accounts", "total"})
_WIDTH_SAMPLE = 500
"""A table's columns are as wide as its first rows ask for; a history of ten million is not held to measure it."""


@dataclass(frozen=True, slots=True)
class Style:
    """How answers are written."""

    format: str = "table"
    color: str = "auto"
    fields: tuple[str, ...] = ()
    header: bool = True
    csv_safe: bool = False
    out: str = ""


class AnswerLost(Exception):
    """The answer could not be written to stdout; what the command did stands. `reason` is None when the reader left."""

    def __init__(self, error: OSError) -> None:
        self.reason = None if isinstance(error, BrokenPipeError) else error.strerror
        super().__init__(str(error))

    def told(self) -> None:
        """Say so, unless it was the reader who left. Nothing more goes to stdout, not even the rest of the answer."""
        if self.reason is not None:
            note(f"warning: the answer could not be written: {self.reason}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def exits(*codes: Exit) -> str:
    """The end of a command's help: the exit codes it can give, beside those that every command can."""
    listed = ", ".join(f"{int(code)} {code.name.lower().replace('_', ' ')}" for code in codes)
    return f"Exit codes: 0 done, {listed}; and those of every command, see ledgerctl help exit-codes"


def show(
    style: Style,
    answer: Any,
    columns: Sequence[str],
    *,
    rows: Iterable[Row] | None = None,
    head: str = "",
    narrow: Sequence[str] = (),
) -> None:
    """Write an answer. `answer` is the JSON value, a list of objects or one; `rows` are what csv and table show of it.

    `columns` are the fields there are; a table shows the `narrow` ones unless --fields says otherwise.
    """
    lines = answer if rows is None else rows
    if isinstance(lines, Mapping):
        lines = [lines]
    if isinstance(answer, Mapping):
        check(style, (*columns, *answer))
        if style.fields and rows is not None and set(style.fields) <= answer.keys():
            lines = [answer]  # fields of the object itself, not of the rows in it
    else:
        check(style, columns)
    wanted = style.fields or columns
    writers: dict[str, Callable[[], Iterator[str]]] = {
        # Fields are those of the rows: asked for, they make the answer a list of rows.
        "json": lambda: _json(lines if style.fields else answer, style.fields),
        "jsonl": lambda: _jsonl(lines if style.fields else answer, style.fields),
        "csv": lambda: _csv(style, wanted, lines),
        "table": lambda: chain([head + "\n"] if head else [], _table(style, style.fields or narrow or columns, lines)),
    }
    _write(style, writers[style.format]())


def note(text: str) -> None:
    """A sentence beside the answer. That nobody can read it stops nothing."""
    _say(text if _as_line is None else _as_line(text, {}))


Line = Callable[[str, Mapping[str, Any]], str]
"""Of a sentence, and of the error that it is about if it is about one."""


def notes_as(line: Line | None) -> None:
    """From now on sentences and errors are written as these lines, or as they are."""
    global _as_line  # noqa: PLW0603 - stderr is one for the whole process
    _as_line = line


_as_line: Line | None = None


def _say(line: str) -> None:
    with suppress(OSError):
        sys.stderr.write(f"{line}\n")  # in one piece: a server's threads all write here
        sys.stderr.flush()


def complain(error: LedgerError, format_: str, color: str = "auto", job: str = "") -> None:
    """An error on stderr: three lines for people, one line of JSON for programs.

    Of a job, off a terminal, a last line says it all: what a mail of cron's or a journal is read from its end for.
    """
    if _as_line is not None:
        _say(_as_line(str(error), error.as_json()))
        return
    if format_ in ("json", "jsonl"):
        note(json.dumps(error.as_json(), ensure_ascii=False))
        return
    label = "\x1b[1;31merror:\x1b[0m" if colored(sys.stderr, color) else "error:"
    note(f"{label} {plain(str(error))}")
    note(f"code: {error.code}")
    if error.advice:
        note(f"hint: {plain(error.advice)}")
    if job and not sys.stderr.isatty():
        note(f"ledgerctl {job}: {plain(str(error))} (exit {int(error.exit_code)})")


def colored(stream: TextIO, color: str) -> bool:
    """--color, then NO_COLOR, then FORCE_COLOR and CLICOLOR_FORCE, then whether it is a terminal."""
    if color != "auto":
        return color == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR") or os.environ.get("CLICOLOR_FORCE"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def plain(text: str) -> str:
    """Text from the books without power over the terminal: control and direction characters are spelled out."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co") else f"\\u{ord(char):04x}" for char in text
    )


def masked(url: Any) -> str:
    """A database URL or conninfo without its password."""
    hidden = re.sub(r"(://[^/@:?]*):.*@", r"\1:***@", str(url))
    return re.sub(r"(?i)(password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]*)", r"\1***", hidden)


def check(style: Style, columns: Sequence[str]) -> None:
    """BadUsage when --fields or --out cannot be followed: a command that writes asks before it does."""
    unknown = [name for name in style.fields if name not in columns]
    if unknown:
        raise BadUsage(detail=f"there is no field '{unknown[0]}' here; there are: {', '.join(columns)}")
    target = Path(style.out).absolute()
    if style.out and (target.is_dir() or not os.access(target if target.exists() else target.parent, os.W_OK)):
        raise BadUsage(detail=f"cannot write '{style.out}'")


def _write(style: Style, pieces: Iterator[str]) -> None:
    if style.out:
        write_file(style.out, pieces)
        return
    for piece in pieces:
        _put(piece)
    _put("", flush=True)


def write_file(name: str, pieces: Iterable[str]) -> None:
    """Whole or not at all: whoever reads the file never meets half of it. BadUsage when it cannot be written."""
    target = Path(name)
    part = target.with_name(f".{target.name}.{os.getpid()}") if target.name else target
    try:
        if target.exists() and not target.is_file():  # a pipe or a device is written to, not replaced
            with target.open("w", encoding="utf-8", newline="") as device:
                device.writelines(pieces)
            return
        with part.open("x", encoding="utf-8", newline="") as file:
            file.writelines(pieces)
        part.replace(target)
    except OSError as error:
        raise BadUsage(detail=f"cannot write '{name}': {error.strerror}") from None
    finally:
        if part.name.startswith("."):
            part.unlink(missing_ok=True)


def _put(text: str, *, flush: bool = False) -> None:
    try:
        sys.stdout.write(text)
        if flush:
            sys.stdout.flush()
    except OSError as error:
        raise AnswerLost(error) from None


def _chosen(answer: Any, fields: Sequence[str]) -> Any:
    return {name: answer[name] for name in fields} if fields else answer


def _json(answer: Any, fields: Sequence[str]) -> Iterator[str]:
    if isinstance(answer, Mapping):
        yield json.dumps(_chosen(answer, fields), indent=2, ensure_ascii=False) + "\n"
        return
    separator = "["
    for item in answer:
        yield separator + "\n  " + json.dumps(_chosen(item, fields), ensure_ascii=False)
        separator = ","
    yield "[]\n" if separator == "[" else "\n]\n"


def _jsonl(answer: Any, fields: Sequence[str]) -> Iterator[str]:
    for item in [answer] if isinstance(answer, Mapping) else answer:
        yield json.dumps(_chosen(item, fields), ensure_ascii=False) + "\n"


def _csv(style: Style, columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    if style.header:
        writer.writerow(columns)
    for row in rows:
        cells = [text(row[name]) for name in columns]
        if style.csv_safe:
            cells = [_defused(name, cell) for name, cell in zip(columns, cells, strict=True)]
        writer.writerow(cells)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _defused(column: str, cell: str) -> str:
    """A spreadsheet takes a text that starts like this for a formula; a number stays a number."""
    return f"'{cell}" if column not in _RIGHT and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _table(style: Style, columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    cells = ([plain(_brief(name, text(row[name]))) for name in columns] for row in rows)
    sample = list(islice(cells, _WIDTH_SAMPLE))
    titles = [name.replace("_", " ") for name in columns]
    widths = [max([len(title), *(len(row[index]) for row in sample)]) for index, title in enumerate(titles)]
    if style.header and sample:
        line = _aligned(titles, columns, widths)
        yield f"\x1b[1m{line}\x1b[0m\n" if colored(sys.stdout, style.color) and not style.out else line + "\n"
    for row in chain(sample, cells):
        yield _aligned(row, columns, widths) + "\n"


def _brief(column: str, cell: str) -> str:
    """Times to the second: the microseconds are for programs."""
    return re.sub(r"\.[0-9]+Z$", "Z", cell) if column.endswith(("_at", "as_of")) else cell


def _aligned(cells: Sequence[str], columns: Sequence[str], widths: Sequence[int]) -> str:
    placed = [
        cell.rjust(width) if name in _RIGHT or name in _RIGHT_COUNTS else cell.ljust(width)
        for cell, name, width in zip(cells, columns, widths, strict=True)
    ]
    return "  ".join(placed).rstrip()


def text(value: Any) -> str:
    """A value as a cell of a table or of csv."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return " ".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    return str(value)
