"""The command line: the only place that knows all rooms, each imported when its command runs.

One module per group of commands says what they take, and runs them.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence

from codec.cli.coding import add_coding
from codec.cli.common import BAD_INPUT, FAILED, INTERRUPTED, Command, Parser, print_error
from codec.cli.data import add_prepare
from codec.cli.evaluation import add_compare, add_evaluate, add_report, add_speed
from codec.cli.extras import require_extras
from codec.cli.models import MODEL_VARIABLE, add_export, add_models
from codec.cli.search import add_search
from codec.cli.tokens import add_tokens
from codec.cli.training import add_health, add_quickstart, add_train
from codec.errors import UserError
from codec.runtime import own_packages, signals

__all__ = ["BAD_INPUT", "FAILED", "INTERRUPTED", "MODEL_VARIABLE", "build_parser", "main"]


def main(words: Sequence[str] | None = None) -> None:
    """Runs one command and exits: 0 done, 1 some of many files failed, 2 bad input, 130 interrupted."""
    # OpenMP threads that spin while they wait slow training a hundredfold where other work shares the cores (measured);
    # this must be set before torch is imported
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    own_packages.put_first()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be valid UTF-8
    try:
        with signals.raised_once():
            status = _run(words)
            sys.stdout.flush()
    except UserError as error:
        status = print_error(str(error), BAD_INPUT)
    except KeyboardInterrupt:
        status = print_error(signals.MESSAGE, INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has gone, as `codec info … | head` does
        status = 0
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        status = print_error(f"{place}{error.strerror or error}", BAD_INPUT)
    _drop_unprintable()
    sys.exit(status)


def _run(words: Sequence[str] | None) -> int:
    parser = build_parser()
    arguments, rest = parser.parse_known_args(words)
    if rest and arguments.command != "train":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    require_extras(arguments.command)
    return int(arguments.run_command(arguments, rest))


def _drop_unprintable() -> None:
    """What cannot be printed is not tried once more when the process ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Version(argparse.Action):
    """Looks it up only where it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            found = version("lathe-codec")
        except PackageNotFoundError:
            found = "not installed, so without a version"
        print(f"{parser.prog} {found}")
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="codec",
        description="Train, test and use neural audio codecs: from a folder of audio to a judged codec.",
        epilog="codec COMMAND --help explains each. To see it all at work in a few minutes: codec quickstart",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Command, summary: str, description: str = "") -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=summary,
            description=description or f"{summary[0].upper()}{summary[1:]}.",
        )
        added.set_defaults(run_command=run)
        return added

    add_quickstart(command)
    add_prepare(command)
    add_train(command)
    add_health(command)
    add_coding(command)
    add_tokens(command)
    add_models(command)
    add_export(command)
    add_evaluate(command)
    add_report(command)
    add_speed(command)
    add_compare(command)
    add_search(command)
    return parser
