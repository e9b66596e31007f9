"""The command line. It is the only part of ``codec`` that imports ``eval`` and ``data_prep``, and only when a command
that needs them runs.

Each command has a module of its name, with ``add_parser`` for its arguments and a function that runs it. The modules
import what they need inside that function, so that ``codec --help`` answers at once.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence

from codec.cli import (
    compare,
    decode,
    encode,
    evaluate,
    export,
    health,
    info,
    listen,
    models,
    page,
    prepare,
    quickstart,
    recipes,
    report,
    search,
    speed,
    tag,
    tokens,
    train,
)
from codec.cli.common import BAD_INPUT, FAILED, INTERRUPTED, Parser, Run, print_error
from codec.cli.extras import require_extras
from codec.errors import UserError
from codec.runtime import own_packages, signals
from codec.runtime.command import recorded_command
from codec.runtime.messages import set_quiet
from codec.runtime.process_end import end_process

__all__ = ["BAD_INPUT", "FAILED", "INTERRUPTED", "build_parser", "main"]

COMMANDS = (
    *(quickstart, prepare, recipes, train, health, encode, decode, info, tag, tokens, models, export, page),
    *(evaluate, report, listen, speed, compare, search),
)
"""In the order of ``codec --help``."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit.

    The exit status is 0 on success, 1 if files failed, 2 for bad input and 130 for an interruption.

    Args:
        arguments: words after the program's name; those of the process by default

    Raises:
        SystemExit: always.
    """
    # Idle OpenMP threads that spin slow training a hundredfold if other work shares the cores (measured). The variable
    # is read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    own_packages.put_first()
    sys.stdout = sys.stdout or open(os.devnull, "w")  # none if it was closed, as in `codec info … >&-`
    sys.stderr = sys.stderr or open(os.devnull, "w")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be valid UTF-8
    with signals.interrupt_once():
        status = _report_errors(arguments)
        _discard_output()
        if arguments is None:  # this process is the command's
            end_process(status)
    sys.exit(status)


def _report_errors(words: Sequence[str] | None) -> int:
    """Run a command, print what went wrong, and return the exit status."""
    try:
        with recorded_command(words):
            status = _run(words)
        sys.stdout.flush()
        return status
    except UserError as error:
        return print_error(str(error), BAD_INPUT)
    except KeyboardInterrupt:
        return print_error(signals.MESSAGE, INTERRUPTED)
    except BrokenPipeError:  # the reader of the output has closed it, as in `codec info … | head`
        return 0
    except OSError as error:
        path = f"{error.filename}: " if error.filename else ""
        return print_error(f"{path}{error.strerror or error}", BAD_INPUT)


def _run(words: Sequence[str] | None) -> int:
    parser = build_parser()
    arguments, rest = parser.parse_known_args(words)
    if getattr(arguments, "inputs", None) and not any(word.startswith("-") for word in rest):
        # argparse takes positional arguments from one place alone; people add files behind the options, too
        arguments.inputs += map(type(arguments.inputs[0]), rest)
    elif rest and arguments.command != "train":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    require_extras(arguments.command)
    set_quiet(getattr(arguments, "quiet", False))
    return int(arguments.run_command(arguments, rest))


def _discard_output() -> None:
    """Prevent Python from flushing the failed output again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Version(argparse.Action):
    """Print the installed version; it is looked up only on request."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            installed = version("lathe-codec")
        except PackageNotFoundError:
            installed = "(not installed, so without a version)"
        print(f"{parser.prog} {installed}")
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands.

    Returns:
        A parser whose result has ``command``, its name, and ``run_command``, the function that runs it.
    """
    parser = Parser(
        prog="codec",
        description="Train, evaluate and use neural audio codecs: from a folder of audio to a measured codec.",
        epilog="codec COMMAND --help explains each command. For a complete example: codec quickstart",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Run, summary: str, description: str = "") -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=summary,
            description=description or f"{summary[0].upper()}{summary[1:]}.",
        )
        added.set_defaults(run_command=run)
        return added

    for module in COMMANDS:
        module.add_parser(command)
    return parser
