"""ledgerctl import: post the transfers of a file."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledgerctl import tracing
from ledgerctl.cli import options, output
from ledgerctl.cli.imports import COLUMNS, TABLE, summary
from ledgerctl.cli.invocation import Context
from ledgerctl.errors import BadUsage, Exit, LedgerError, OutcomeUnknown

if TYPE_CHECKING:
    from ledgerctl.services.books import Books
    from ledgerctl.services.controls import Expected
    from ledgerctl.services.import_at_once import Move
    from ledgerctl.services.import_job import Options
    from ledgerctl.services.importing import Result

MOVES_SHOWN = 20
"""Of so many accounts a dry run shows what it would do to them."""
PIECE_MAX = 20_000
"""So many rows may be committed at once at most: they are held in memory, at 5 KB each."""


def register(root: typer.Typer) -> None:
    root.command("import", epilog=output.exits(Exit.USAGE, Exit.REFUSED, Exit.CONFLICT, Exit.TRY_AGAIN))(import_)


def import_(
    context: Context,
    file: Annotated[str, typer.Argument(help="A CSV file, or - for standard input.")],
    map_: options.Map = None,
    set_: options.Set = None,
    map_name: options.MapName = "",
    delimiter: options.Delimiter = None,
    decimal: options.Decimal = None,
    encoding: options.Encoding = None,
    date_format: options.DateFormat = None,
    skip_lines: options.SkipLines = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show how the first rows would be read; no database is asked.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Do it all, show the result, and undo it.")] = False,
    skip_rejects: Annotated[
        bool, typer.Option("--skip-rejects", help="Post what can be posted; the rest goes to the rejects file.")
    ] = False,
    rejects: Annotated[
        str | None, typer.Option(metavar="FILE", help="Where rejected rows go; by default FILE.rejects.csv.")
    ] = None,
    max_rejects: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Give up when more rows than these are rejected.")
    ] = None,
    commit_every: Annotated[
        int | None,
        typer.Option(min=1, max=PIECE_MAX, metavar="N", help="Commit after each N rows, so that locks are short."),
    ] = None,
    expect_rows: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Post nothing unless the file has so many rows.")
    ] = None,
    expect_total: Annotated[
        list[str] | None,
        typer.Option(metavar="CURRENCY=AMOUNT", help="Post nothing unless its amounts sum to this. Repeatable."),
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Post what was posted before under other keys; decide again on rejected rows."),
    ] = False,
) -> None:
    """Post every transfer of a CSV file, or none. The same file is always safe to import again.

    The fields are from, to, amount, currency, and optionally idempotency_key (or key), description, reference and
    effective_at; each is read from the column of its name unless --map or --set say otherwise. Without a key, a row's
    key derives from the file's content and the row's number.
    """
    from ledgerctl.cli import explaining, files
    from ledgerctl.formats import transfer_csv
    from ledgerctl.formats.rejects import RejectsFile
    from ledgerctl.services.import_job import Options

    given = options.Given(map_, set_, map_name, delimiter, decimal, encoding, date_format, skip_lines)
    if explain:
        opened = files.opened(context.obj, file, given, transfer_csv.FIELDS, transfer_csv.ALIASES)
        explaining.explain(context.obj, transfer_csv.TransferFile(*opened))
        return

    context.obj.prepare(COLUMNS)
    books = context.obj.books
    how = Options(
        dry_run=dry_run,
        skip_rejects=skip_rejects,
        rejects_max=max_rejects,
        commit_every=commit_every,
        again=again,
        expected=_expected(expect_rows, expect_total),
    )
    opened = files.opened(context.obj, file, given, transfer_csv.FIELDS, transfer_csv.ALIASES)
    transfers = transfer_csv.TransferFile(*opened)
    place = rejects or (_beside(file) if skip_rejects and not dry_run else None)
    if place == "-":
        raise BadUsage(detail="--rejects takes the name of a file")
    with RejectsFile(Path(place), transfers.dialect, apart_from=file) if place else nullcontext() as rejects_file:
        result = _run(context, books, transfers, rejects_file, how)
        aside = rejects_file.keep() if rejects_file is not None and result.tally.rejected else None
    if aside is not None:
        context.obj.note(f"{place} was there before, with other rows; that file is now {aside}")
    _show(context, file, result, how, place)


def _run(context: Context, books: Books, transfers: Any, rejects_file: Any, how: Options) -> Result:
    from ledgerctl.cli.progress import bar
    from ledgerctl.services import importing

    done = 0
    with bar(context.obj, "import") as shown:

        def progress(rows: int, total: int, rejected: int) -> None:
            nonlocal done
            done = rows
            shown(rows, total, rejected)

        try:
            return importing.run(books, transfers, progress, rejects_file, how)
        except (KeyboardInterrupt, SystemExit, LedgerError) as end:
            stop = end.__cause__ if isinstance(end, OutcomeUnknown) else end  # interrupted inside a commit
            if isinstance(stop, KeyboardInterrupt):
                raise KeyboardInterrupt(_interrupted(done, how, books)) from None
            if isinstance(stop, SystemExit):
                output.note(_interrupted(done, how, books))
                raise stop from None
            if kept := _kept(done, how):
                output.note(f"the first {kept:,} rows are done; the same command again goes on from there")
            raise


def _kept(done: int, how: Options) -> int:
    """So many of the rows that were gone through stay, whatever ends the import now."""
    return done if how.commit_every and not how.dry_run else 0


def _interrupted(done: int, how: Options, books: Books) -> str:
    """What is known to be posted: a commit that was under way may have been done, too."""
    kept = _kept(done, how)
    if kept:
        posted = f"at least the first {kept:,} rows are done"
    else:
        posted = "it may have been posted" if books.database.in_doubt and not how.dry_run else "nothing was posted"
    return f"interrupted: {posted}; the same command again is safe, and goes on from there"


def _show(context: Context, file: str, result: Result, how: Options, place: str | None) -> None:
    from ledgerctl.cli import files
    from ledgerctl.formats import objects

    answer = objects.receipt(result.receipt)
    tracing.tell(outcome="dry run" if how.dry_run else answer["status"])
    tally = result.tally
    if not how.dry_run:
        context.obj.outcomes.update(posted=answer["posted"], replayed=answer["replayed"], refused=answer["rejected"])
    if how.dry_run:
        answer["dry_run"] = True
        answer["balances"] = [_move(move) for move in result.moves[:MOVES_SHOWN]]
        for line in _moves(result.moves):
            context.obj.note(line)
    if tally.rejected:
        context.obj.changes = bool(answer["posted"]) and not how.dry_run
        files.report(context.obj, tally.rejects, everything=how.dry_run)
    _say_what_was_before(context, result, how)
    context.obj.show(answer, COLUMNS, head=summary(answer), narrow=TABLE)
    if result.error is not None:
        result.error.details["rows"] = files.told(tally.rejects)
        raise result.error
    if tally.rejected:
        consequence, hint = _would_be(result, how) if how.dry_run else _consequence(result, how, place)
        raise files.rejection(file, tally.rejects, tally.rejected, result.receipt["rows"], consequence, hint)


def _say_what_was_before(context: Context, result: Result, how: Options) -> None:
    from ledgerctl.core import times

    tally = result.tally
    if not tally.replayed:
        return
    nothing = f"nothing {'would be' if how.dry_run else 'was'} posted now"
    earlier = next((one for one in result.earlier if one["posted"]), None)
    if earlier is not None:
        when = times.text(earlier["started_at"].replace(microsecond=0))
        missing = result.receipt["posted"]
        now = f"{missing:,} of its rows were still missing" if missing else nothing
        context.obj.note(f"this file was imported before (import {earlier['id']}, {when}); {now}")
        if earlier["reversed_at"] is not None:
            context.obj.note("that import was reversed since, and what was reversed stays so under the same keys")
    elif tally.rows == tally.replayed:
        context.obj.note(f"every row was posted before; {nothing}")


_AS_IT_IS = (
    "leave the file as it is, since some of its rows are posted: with --skip-rejects, the same command posts the rest, "
    "and writes those that cannot be posted to a file that can be mended"
)
_DECIDED = "rows that could be posted by now are posted with --again"


def _consequence(result: Result, how: Options, place: str | None) -> tuple[str, str]:
    """What the rejected rows led to, and what to do."""
    receipt, tally = result.receipt, result.tally
    too_many = how.gives_up(tally.rejected) and (how.skip_rejects or not how.commit_every)
    said = f"gave up after row {tally.rows:,}, since more than {how.rejects_max} are rejected; " if too_many else ""
    hint = _mend(result, how, place, too_many=too_many)
    if receipt["status"] == "refused":
        return f"{said}nothing was posted", hint
    if not how.skip_rejects:
        return f"{said}the {receipt['posted'] + receipt['replayed']:,} rows before them are posted", hint
    return f"{said}{receipt['posted']:,} posted now, {receipt['replayed']:,} before", hint


def _mend(result: Result, how: Options, place: str | None, *, too_many: bool) -> str:
    """Never to change a file without keys of which rows are posted: all would have new keys, and be posted again."""
    from ledgerctl.core.rows import origin_prefix

    if not how.skip_rejects:
        if not any(origin_prefix(one.key or "") for one in result.tally.rejects):
            return ""
        part = result.tally.replayed or result.receipt["posted"] or any(one["posted"] for one in result.earlier)
        return _AS_IT_IS if part else ""
    mend = f"mend the rows in {place}, whose keys stay as they are, and import that file" if place else ""
    again = _DECIDED if any(one.code == "REJECTED_BEFORE" for one in result.tally.rejects) else ""
    on = "with a higher --max-rejects the same command posts the rest" if too_many else ""
    return "; ".join(filter(None, (mend, again, on)))


def _would_be(result: Result, how: Options) -> tuple[str, str]:
    """What the rejected rows would lead to, and what to do."""
    if result.done == result.receipt["rows"]:
        return "they would be left out", ""
    hint = _mend(result, how, None, too_many=False)
    posted = f"only the first {result.done:,} rows would be posted" if result.done else "nothing would be posted"
    if not how.gives_up(result.tally.rejected):
        return posted, hint
    return f"it would give up, since more than {how.rejects_max} are rejected: {posted}", hint


def _move(move: Move) -> dict[str, str]:
    from ledgerctl.core import money

    account = move.account
    before, after = (money.text(account.normal * units, account.exponent) for units in (move.before, move.after))
    return {"account": account.code, "currency": account.currency, "before": before, "after": after}


def _moves(moves: list[Move]) -> list[str]:
    told = [_move(move) for move in moves[:MOVES_SHOWN]]
    lines = [f"{one['account']}: {one['before']} -> {one['after']} {one['currency']}" for one in told]
    return [*lines, f"and {len(moves) - len(told):,} accounts more"] if len(moves) > len(told) else lines


def _expected(rows: int | None, totals: list[str] | None) -> Expected:
    from ledgerctl.core import money
    from ledgerctl.services.controls import Expected

    found: dict[str, Any] = {}
    for text in totals or ():
        currency, equals, amount = text.partition("=")
        if not equals or not money.is_currency_code(currency) or amount == "none":
            raise BadUsage(detail=f"--expect-total takes CURRENCY=AMOUNT, for example USD=1234.50, not '{text}'")
        if currency in found:
            raise BadUsage(detail=f"--expect-total is given twice for {currency}")
        found[currency] = money.parse_limit(amount)
    return Expected(rows, found)


def _beside(file: str) -> str:
    return "stdin.rejects.csv" if file == "-" else f"{file}.rejects.csv"
