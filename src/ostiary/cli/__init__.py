"""The command line: `ostiary serve`, `scan`, `check`, `secret`, `migrate`, `verdicts`, `schema`.

Reads the configuration, calls `ostiary.app`, and speaks to a person: results on standard output,
everything else on standard error, colour and progress bars on a terminal only.
"""

import asyncio
import json
import os
import signal
import sys
import traceback
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, TypeVar

import structlog
import typer
import uvloop

from ostiary import __version__, app
from ostiary.cli.check import check_everything
from ostiary.cli.findings import Examination, Finding, Level
from ostiary.cli.migrate import MigrateOptions, migrate_file
from ostiary.cli.options import AsJson, Config
from ostiary.cli.scan import ScanOptions, scan_targets
from ostiary.cli.verdicts import verdicts
from ostiary.config.load import load, source
from ostiary.config.schema import json_schema
from ostiary.config.settings import Settings
from ostiary.errors import ConfigError, OstiaryError
from ostiary.logs import configure
from ostiary.matrix.envelope import Envelope
from ostiary.secret_file import make_secret

T = TypeVar("T")

cli: Final = typer.Typer(
    name="ostiary",
    help="The doorkeeper for Matrix media: lets through only what is proven clean.",
    epilog="Without a command: serve. The configuration is described in docs/reference/configuration.md.",
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Observe = Annotated[
    bool,
    typer.Option(
        "--observe",
        help="Refuse nothing: what would be refused is served, logged and counted. For a first week.",
    ),
]


@cli.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    config: Config = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,  # noqa: FBT002
) -> None:
    """Serve, where no command is given: `ostiary -c FILE`, as the existing scanner is called."""
    if version:
        typer.echo(f"ostiary {__version__}")
    elif context.invoked_subcommand is None:
        serve(config)
    elif config is not None:
        os.environ["OSTIARY_CONFIG"] = str(config)


@cli.command()
def serve(config: Config = None, observe: Observe = False) -> None:  # noqa: FBT002
    """Run the gateway until SIGTERM; requests in flight then end.

    With --observe nothing is refused: read the log and content_scanner_observed_total, then leave it out.
    """
    settings = _settings(config)
    configure(settings.log.level, settings.log.format)
    structlog.get_logger().info("configuration", source=source(config, os.environ))
    _run(app.serve(settings, observe=observe))


@cli.command()
def scan(
    targets: Annotated[
        list[str],
        typer.Argument(metavar="TARGET", help="Files, folders, - (standard input) or mxc:// URIs."),
    ],
    config: Config = None,
    as_json: AsJson = False,  # noqa: FBT002
    access_token_path: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A file with the access token that mxc:// URIs are fetched with. "
            "Default: $OSTIARY_ACCESS_TOKEN, or synapse.admin_token_path.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Scan with the configured engines. Exit status: 0 all clean, 1 something is not, 2 could not scan."""
    settings = _settings(config, exit_code=2)
    configure("error", settings.log.format)
    options = ScanOptions(targets, as_json, access_token_path)
    raise typer.Exit(_run(_until_signalled(scan_targets(settings, options, os.environ)), exit_code=2))


@cli.command()
def check(config: Config = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Examine the homeserver, every engine with a known-bad sample, the secret and the disk.

    Exit status: 0 where nothing fails (warnings alone are no failure), 1 with the names of what does.
    """
    settings = _settings(config)
    configure("error", settings.log.format)
    examination = Examination(as_json=as_json)
    examination.show(Finding(Level.OK, "config", source(config, os.environ)))
    _run(_until_signalled(check_everything(settings, examination.show)))
    raise typer.Exit(examination.close())


@cli.command()
def secret(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where it goes; nothing is overwritten.")],
) -> None:
    """Make a request secret and print the public key that clients will seal their requests to."""
    try:
        made = make_secret(file)
    except FileExistsError:
        _fail(f"{file} exists already: it is left as it is")
    except ConfigError as error:
        _fail(str(error))
    typer.echo(Envelope(made).public_key)


@cli.command()
def migrate(  # noqa: PLR0913, PLR0917  (each is an option)
    old: Annotated[Path, typer.Argument(metavar="OLD.yaml", help="The old scanner's configuration.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where the new configuration goes, mode 0600 if it holds secrets; nothing is overwritten. "
            "Default: standard output.",
            show_default=False,
        ),
    ] = None,
    secret_path: Annotated[
        Path | None,
        typer.Option(
            "--secret",
            metavar="FILE",
            help="Where the old scanner's key goes as a request secret, mode 0600; nothing is overwritten. "
            "Default: request_secret, beside the old key file.",
            show_default=False,
        ),
    ] = None,
    homeserver: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The homeserver to ask, instead of what the old file says."),
    ] = None,
    direct: Annotated[  # noqa: FBT002
        bool,
        typer.Option(
            "--direct", help="Ask the server that each media's URI names: public media only, without tokens."
        ),
    ] = False,
    directory: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where the old scanner is started: its relative paths count from there, and are written "
            "whole. Default: they count from here, and stay as they are.",
            show_default=False,
        ),
    ] = None,
    keep_pickle: Annotated[  # noqa: FBT002
        bool,
        typer.Option("--keep-pickle", help="Go on with the old key file and its passphrase, as they are."),
    ] = False,
    force: Annotated[  # noqa: FBT002
        bool,
        typer.Option("--force", help="Leave out what is undecided, instead of writing nothing."),
    ] = False,
) -> None:
    """Turn a Matrix Content Scanner's configuration into Ostiary's, and its key file into a request secret.

    Reads the files of both scanners, the Python one and the older JavaScript
    one, and changes neither. The report on standard error has a line for every
    key: kept, renamed, converted, dropped and why, defaults that differ, and
    what is undecided because it has no safe meaning here. Clients notice
    nothing: the public key stays the same.

    Exit status: 0 where all was written, 1 where something is undecided and
    nothing was.
    """
    options = MigrateOptions(old, output, secret_path, homeserver, direct, directory, keep_pickle, force)
    try:
        raise typer.Exit(migrate_file(options))
    except OstiaryError as error:
        _fail(str(error))
    except OSError as error:  # standard output is full, or gone as under `| head`
        _give_up(error, 1)


cli.add_typer(verdicts, name="verdicts")


@cli.command()
def schema() -> None:
    """Print the JSON schema of the configuration, for editors and validators."""
    typer.echo(json.dumps(json_schema(), indent=2))


def main() -> None:
    """Run the command line."""
    _open_standard_descriptors()
    cli()


def _open_standard_descriptors() -> None:
    """Let what was closed before our start lead nowhere; our own files would get those numbers."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "r" if name == "stdin" else "w"))


def _settings(config: Path | None, exit_code: int = 1) -> Settings:
    try:
        return load(config, os.environ)
    except ConfigError as error:
        _fail(str(error), exit_code)


async def _until_signalled(work: Coroutine[Any, Any, T]) -> T:
    """Do the work, and cancel it on SIGTERM and SIGHUP: what it made on disk is then removed."""
    task = asyncio.current_task()
    if task is not None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await work


def _run(work: Coroutine[Any, Any, T], exit_code: int = 1) -> T:
    """Run to the end; what goes wrong ends the program with its text, not a traceback."""
    try:
        return uvloop.run(work)
    except OstiaryError as error:
        _fail(str(error), exit_code)
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise typer.Exit(130) from None
    except Exception as error:  # noqa: BLE001  (a bug must not look like a verdict)
        _give_up(error, exit_code)


def _give_up(error: Exception, exit_code: int) -> NoReturn:
    """End after what nobody foresaw: where it is no bug of ours, as under `| head`, without a traceback.

    The exit code is the command's own for "could not": a bug must not pass for a verdict.
    """
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, OSError):
        traceback.print_exception(error)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing can fail at the exit any more
    _fail(f"stopped: {error}", exit_code)


def _fail(text: str, exit_code: int = 1) -> NoReturn:
    for line in text.splitlines() or [text]:
        print(f"ostiary: {line}", file=sys.stderr)  # noqa: T201
    raise typer.Exit(exit_code)
