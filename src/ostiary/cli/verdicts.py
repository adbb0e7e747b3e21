"""`ostiary verdicts list|show|forget`: what a running server remembers of inspections.

Asks the server over its control socket, which the configuration names. Where no server runs, nothing is
remembered: that is no failure. Exit status 2 means that it could not be asked.
"""

import heapq
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from ostiary.cli.options import AsJson, Config
from ostiary.cli.verdicts_text import print_list, print_shown
from ostiary.config.load import load
from ostiary.control.client import NoServerError, ask
from ostiary.control.location import location
from ostiary.control.targets import parse_target
from ostiary.control.verdict_messages import (
    FORGET,
    LIST,
    SHOW,
    ForgetArguments,
    Forgotten,
    ListArguments,
    Listing,
    Shown,
    Summary,
    TargetArguments,
)
from ostiary.errors import OstiaryError
from ostiary.model import Result

NOTHING_KNOWN, COULD_NOT_ASK = 1, 2
"""Exit statuses: `show` found nothing; the server can't be asked."""

_TARGET_HELP: Final = "enc:HEX as `list` shows it, sha256:HEX of a file, or an mxc:// URI (its stored copy)."

verdicts: Final = typer.Typer(
    help="See, and have forgotten, what a running server remembers of inspections.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@verdicts.command("list")
def list_verdicts(
    config: Config = None,
    as_json: AsJson = False,  # noqa: FBT002
    result: Annotated[Result | None, typer.Option(help="Only these.", show_default=False)] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=1_000_000, metavar="N", help="How many, the newest first.")
    ] = 100,
) -> None:
    """List what the running server remembers, the newest first.

    Each line is one entry: its keyed digest, the verdict for a request that
    declares nothing, its age, the time it has left, and its epoch, which stands
    for the versions of the engines that made it. A stale entry does not count
    any more, since an engine has other signatures by now or all was forgotten:
    its bytes are inspected again. What type they are is not told, because
    nobody can know here which of them came encrypted.

    Exit status: 0, also where no server runs and so nothing is remembered; 2
    where it can't be asked.
    """
    with _ending():
        path = _socket(config)
        try:
            seen: set[str] = set()
            newest = heapq.nsmallest(limit, _all(path, result, seen), key=lambda one: one.age)
        except NoServerError as error:
            _note(f"{error}: nothing is remembered")
            return
        print_list(newest, as_json=as_json)
        if len(seen) > limit:
            _note(f"these are the newest {limit} of {len(seen)}: --limit N shows more")


@verdicts.command()
def show(
    target: Annotated[str, typer.Argument(metavar="TARGET", help=_TARGET_HELP)],
    config: Config = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Show all that the running server knows of one file: each engine's word, its version, and when.

    The type of the bytes is told only where TARGET is a file's digest or an
    mxc:// URI.

    Exit status: 0 where something is known, 1 where nothing is, 2 where the
    server can't be asked.
    """
    with _ending():
        parse_target(target)
        try:
            shown = ask(_socket(config), SHOW, TargetArguments(target=target), Shown)
        except NoServerError as error:
            shown = Shown(summary=None, why=f"{error}: nothing is remembered")
        if shown.summary is None:
            _note(f"{target}: {shown.why}")
            raise typer.Exit(NOTHING_KNOWN)
        print_shown(shown, shown.summary, as_json=as_json)


@verdicts.command()
def forget(
    targets: Annotated[
        list[str] | None, typer.Argument(metavar="TARGET", help=_TARGET_HELP, show_default=False)
    ] = None,
    everything: Annotated[  # noqa: FBT002
        bool,
        typer.Option(
            "--all", help="Everything: what was found, or is being found, up to now counts no more."
        ),
    ] = False,
    config: Config = None,
) -> None:
    """Have the running server forget what it knows of some files, or with --all of everything.

    They are inspected again at their next request. Use --all when signatures
    changed in a way that the engine does not tell, such as loose files in
    clamd's folder, from whatever installs them.

    Exit status: 0, also where no server runs and so nothing is remembered; 2
    where it can't be asked.
    """
    if everything == bool(targets):
        raise typer.BadParameter("name what to forget, or say --all")
    with _ending():
        for target in targets or ():
            parse_target(target)
        path = _socket(config)
        try:
            if everything:
                count = ask(path, FORGET, ForgetArguments(target=None), Forgotten).count
                typer.echo(f"forgot {_entries(count)}; what is being inspected now is inspected again")
            for target in targets or ():
                gone = ask(path, FORGET, ForgetArguments(target=target), Forgotten)
                typer.echo(f"{target}: {gone.why or f'forgot {_entries(gone.count)}'}")
        except NoServerError as error:
            _note(f"{error}: nothing is remembered, so there is nothing to forget")


def _all(path: Path, result: Result | None, seen: set[str]) -> Iterator[Summary]:
    """Yield every entry that was not seen yet, page by page, and note it."""
    after: str | None = None
    while True:
        page = ask(path, LIST, ListArguments(after=after, result=result), Listing)
        for entry in page.entries:
            if entry.digest not in seen:
                seen.add(entry.digest)
                yield entry
        after = page.after
        if after is None:
            return


def _socket(config: Path | None) -> Path:
    settings = load(config, os.environ)
    return location(settings.control, settings.ledger).path


def _entries(count: int) -> str:
    return f"{count} {'entry' if count == 1 else 'entries'}"


@contextmanager
def _ending() -> Iterator[None]:
    """End the program with a text, not a traceback, where something goes wrong that is no bug."""
    try:
        yield
    except OstiaryError as error:
        _fail(str(error))
    except OSError as error:  # standard output is full, or gone as under `| head`
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # nothing can fail at the exit any more
        _fail(f"stopped: {error}")


def _fail(text: str) -> NoReturn:
    _note(text)
    raise typer.Exit(COULD_NOT_ASK)


def _note(text: str) -> None:
    for line in text.splitlines():
        print(f"ostiary: {line}", file=sys.stderr)  # noqa: T201
