"""`ostiary migrate`: a legacy scanner's configuration and key file become ours.

The thin, reading and writing side of `ostiary.config.migration`. The report comes first, one line a key;
then, unless something is undecided, the request secret and the new configuration are written, each
whole or not at all and never over another file. The old files are only read: the way back stays open.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from ostiary.config.draft import Change, Note
from ostiary.config.load import read_layer, shown_file
from ostiary.config.migration import Migration, migrate
from ostiary.config.translation import Choices
from ostiary.errors import ConfigError
from ostiary.matrix.envelope import Envelope
from ostiary.new_file import write_new
from ostiary.secret_file import PrivateKey, existing_legacy_key, read_secret, write_secret

_STYLES: Final = {
    Change.UNDECIDED: "bold red",
    Change.ATTENTION: "yellow",
    Change.DROPPED: "yellow",
    Change.DEFAULT: "dim",
}
_LOST: Final = (
    "without it Ostiary makes a new key at its first start, and clients that keep the old public key "
    "fail until they fetch the new one"
)


@dataclass(frozen=True, slots=True)
class MigrateOptions:
    """What stands on the command line; see `ostiary migrate --help`."""

    old: Path
    output: Path | None
    secret: Path | None
    homeserver: str | None
    direct: bool
    directory: Path | None
    keep_pickle: bool
    force: bool


def migrate_file(options: MigrateOptions) -> int:
    """Report and write; return the exit status, 1 where nothing was written. ConfigError: nothing either."""
    if options.keep_pickle and options.secret is not None:
        raise ConfigError("--secret and --keep-pickle exclude each other: convert the key file, or keep it")
    if options.direct and options.homeserver is not None:
        raise ConfigError("--homeserver and --direct exclude each other: one asks one server, the other any")
    if options.output is not None and os.path.lexists(options.output):
        raise ConfigError(f"{options.output} exists already: it is left as it is")
    migration = migrate(read_layer(options.old), _choices(options))
    key, problems = _key(migration, options)
    notes = (*migration.notes, *_on_script(migration), *problems)
    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    language = "JavaScript" if migration.javascript else "Python"
    console.print(f"{shown_file(options.old)}: a configuration of the {language} matrix-content-scanner")
    undecided = [note for note in notes if note.change is Change.UNDECIDED]
    left_out = options.force and not any(note.final for note in undecided)
    for note in notes:
        change = "left out" if left_out and note in undecided else note.change.value
        line = f"line {note.line}" if note.line else ""
        console.print(f"  {change:<10} {line:<9} {_plain(note.text)}", style=_STYLES.get(note.change))
    if undecided and not left_out:
        console.print(f"\n{_plain(_why_nothing(undecided))}", style="bold red")
        return 1
    console.print()
    for text in _write(migration, key, options):
        console.print(_plain(text))
    return 0


def _plain(text: str) -> str:
    """Return a text that steers no terminal, whatever path it names."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _choices(options: MigrateOptions) -> Choices:
    directory, secret = options.directory, options.secret
    if directory is not None:
        directory = directory.absolute()
        secret = secret.absolute() if secret is not None else None
    return Choices(options.homeserver, options.direct, secret, directory, options.keep_pickle)


def _why_nothing(undecided: list[Note]) -> str:
    many = "1 thing is" if len(undecided) == 1 else f"{len(undecided)} things are"
    if any(note.final for note in undecided):
        final = "; ".join(note.text.partition(":")[0] for note in undecided if note.final)
        return f"nothing was written: {many} undecided, and can't be left out: {final}"
    return f"nothing was written: {many} undecided. Decide as said above, or leave out what is, with --force"


def _key(migration: Migration, options: MigrateOptions) -> tuple[PrivateKey | None, list[Note]]:
    """Return the old scanner's key, and what stands in the way of using it."""
    crypto = migration.pickle or migration.settings.crypto
    if crypto.pickle_path is None:
        return None, []
    try:
        key = existing_legacy_key(crypto.pickle_path, crypto)
    except ConfigError as error:
        text = f"the key: {error}{_elsewhere(crypto.pickle_path, options)}; {_LOST}"
        return None, [Note(Change.UNDECIDED, 0, text)]
    if migration.pickle is None:
        return key, []
    return key, list(_in_the_way(migration.settings.crypto.request_secret_path, key))


def _elsewhere(pickle: Path, options: MigrateOptions) -> str:
    """Return a hint where a relative path means another file to whoever runs us than to the old scanner."""
    folder = options.old.parent
    if options.directory is not None or pickle.exists() or not (folder / pickle).is_file():
        return ""
    return f" (there is one beside the old configuration: --directory {folder})"


def _in_the_way(path: Path, key: PrivateKey) -> Iterator[Note]:
    """Yield what is wrong with the place of the new secret: never is another key replaced."""
    try:
        there = read_secret(path)
    except ConfigError as error:
        yield Note(Change.UNDECIDED, 0, f"{error}; name another place with --secret", final=True)
        return
    if there not in {None, key.secret}:
        keys = f"it opens {Envelope(there).public_key}, the old scanner's {Envelope(key.secret).public_key}"
        choice = "name another place with --secret, or take out of the old file what is not in use any more"
        text = f"{path}: another key is there already ({keys}); {choice}"
        yield Note(Change.UNDECIDED, 0, text, final=True)


def _on_script(migration: Migration) -> Iterator[Note]:
    """Yield a note where the script can't run here: `serve` would not start."""
    script = migration.settings.scan.script
    if script is None or (script.is_file() and os.access(script, os.X_OK)):
        return
    found = shutil.which(str(script)) if script.parent == Path() else None
    hint = f"there is one at {found}: write its whole path" if found else "Ostiary does not start without it"
    yield Note(Change.ATTENTION, 0, f"scan.script: {script} is no executable file here; {hint}")


def _write(migration: Migration, key: PrivateKey | None, options: MigrateOptions) -> Iterator[str]:
    """Write what there is to write, and yield what was done."""
    yield _write_key(migration, key)
    output, text = options.output, migration.text.encode()
    if output is None:
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
        yield "next: save it, then ostiary check --config FILE"
        return
    try:
        write_new(output, text, 0o600 if migration.private else 0o644)
    except OSError as error:
        raise ConfigError(f"{output}: the new configuration can't be written: {error.strerror}") from None
    yield f"configuration: {output}{' (mode 0600: it holds secrets)' if migration.private else ''}"
    yield f"next: ostiary check --config {output}"


def _write_key(migration: Migration, key: PrivateKey | None) -> str:
    crypto = migration.settings.crypto
    path = crypto.request_secret_path
    if key is None:
        return f"key: {crypto.pickle_path or path}, made at the first start where it is missing"
    public = Envelope(key.secret).public_key
    if migration.pickle is None:
        return f"key: {key.path}, read as it is; public key {public}"
    return f"key: {path} ({_write_secret(path, key.secret)}), public key {public}, as before"


def _write_secret(path: Path, secret: bytes) -> str:
    """Write the request secret where it is not there already, and say what was done."""
    try:
        write_secret(path, secret)
    except FileExistsError:
        if read_secret(path) != secret:
            raise ConfigError(f"{path}: something is in the way of the request secret") from None
        return "there already"
    if os.geteuid() == 0:
        return "mode 0600, root's: chown it to the user that Ostiary runs as"
    return "mode 0600"
