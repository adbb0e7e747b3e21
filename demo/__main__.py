"""Run the demo: `python -m demo` from the clone's root, or `make demo`.

Exit code 0: every answer was what it must be. 1: one was not, or something did not start; the
last lines say what. 130 or 143: Ctrl-C or SIGTERM. Whatever happens, nothing is left behind.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from demo import by_hand
from demo.case import Row, ask
from demo.interrupts import Interrupts
from demo.media import Mailbag, send_all
from demo.photo import photo
from demo.place import Place
from demo.screen import Screen
from demo.stage import Stage, missing, set_up
from demo.story import all_cases
from demo.table import save_picture, table_of
from peers.processes import PeerError

_INTRODUCTION: Final = (
    "Ostiary stands between Matrix clients and their homeserver. It fetches a file for the client,"
    " scans it, and hands it over only if every scanner calls it clean.\n\n"
    "This demo runs it for real, on this machine alone: a homeserver, Ostiary, and two users. Alice"
    " uploads a photo, malware test files (they do no harm) and a program that calls itself a photo."
    " Bob asks Ostiary for each. Nothing listens beyond 127.0.0.1. In the end all of it is removed.\n"
)
_LEGEND: Final = (
    "Here, download gives the file, and scan the judgement alone. For an encrypted attachment Bob"
    " sends its key along, plain or sealed for Ostiary. scan_file judges a file before anybody uploads it."
)


class Wrong(Exception):  # noqa: N818  (a result)
    """Answers were not what they must be."""


def main() -> int:
    """Play, tidy up, and return the exit code."""
    options = _options()
    interrupts = Interrupts()
    interrupts.install()
    place, screen = Place(), Screen(interrupts.check)
    try:
        try:
            return _play(options, place, screen)
        finally:
            interrupts.ignore()
    except KeyboardInterrupt:
        screen.show_cursor()
        screen.fail("Stopped before the end.")
        return interrupts.exit_code
    except (PeerError, Wrong) as error:
        screen.fail(str(error))
        return 1
    finally:
        if not place.clear():
            screen.fail(f"Something is left behind: look at {place.folder}")
            sys.exit(1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description="Watch Ostiary at work.")
    parser.add_argument("--keep", action="store_true", help="stay up, to try by hand, until Ctrl-C")
    parser.add_argument("--without-clamd", action="store_true", help="as on a machine that has no clamd")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="save the table as an SVG")
    return parser.parse_args()


def _play(options: argparse.Namespace, place: Place, screen: Screen) -> int:
    screen.say(_INTRODUCTION)
    place.enter()
    if lacking := missing():
        raise PeerError("\n".join(lacking))
    stage = set_up(place, screen, with_clamd=not options.without_clamd)
    with screen.working("Alice makes and uploads her files") as step:
        bag = send_all(lambda *what: stage.synapse.upload(stage.alice.token, *what), stage.node, photo())
        step.result = "Alice has uploaded 6 files"
    rows = _ask_all(stage, bag, screen)
    screen.table(table_of(rows))
    screen.say(f"{_LEGEND}\n")
    _judge(rows, stage)
    screen.say(f"All {len(rows)} answers are what they must be: each status, reason and byte was compared.")
    if options.picture:
        save_picture(rows, options.picture)
    if options.keep:
        _stay(stage, bag, place, screen)
    else:
        _invite(stage, bag, screen)
    return 0


def _ask_all(stage: Stage, bag: Mailbag, screen: Screen) -> list[Row]:
    with screen.working("Bob asks for them") as step:
        rows = []
        for case in all_cases(stage, bag):
            screen.check()
            rows.append(ask(case))
        step.result = f"{len(rows)} questions asked"
    return rows


def _judge(rows: Sequence[Row], stage: Stage) -> None:
    wrong = [row for row in rows if row.seen is None]
    if not wrong:
        return
    listed = [f"  {row.case.subject}, {row.case.asked}: {row.problem}" for row in wrong]
    head = f"{len(wrong)} of {len(rows)} answers are not what they must be:"
    raise Wrong("\n".join([head, *listed, "The end of Ostiary's log:", stage.gateway.child.log_tail()]))


def _invite(stage: Stage, bag: Mailbag, screen: Screen) -> None:
    screen.say("\nTo try it by hand: make demo KEEP=1. Everything then stays up. A curl line, as it was now:")
    screen.line(f"  {by_hand.scan_line(stage, bag)}")


def _stay(stage: Stage, bag: Mailbag, place: Place, screen: Screen) -> None:
    """Wait for Ctrl-C: here it is the wanted end."""
    files = by_hand.write_files(place.folder / "by-hand", bag)
    screen.heading("Everything stays up. Try it by hand, from another terminal:")
    for line in by_hand.lines(stage, bag, files):
        screen.say(f"\n# {line.shows}")
        screen.line(line.command)
    screen.heading("Where things are")
    for text in by_hand.places(stage, place.folder):
        screen.line(text)
    try:
        screen.heading("Ctrl-C ends it and removes everything.")
        while True:
            stage.check_alive()
            time.sleep(0.5)
    except KeyboardInterrupt:
        screen.say("\nRemoving everything.")


if __name__ == "__main__":
    sys.exit(main())
