"""``codec report``: several evaluations and searches on one page."""

import argparse
from pathlib import Path

from codec.cli.common import AddCommand


def add_parser(command: AddCommand) -> None:
    """Add the command.

    Args:
        command: adds a command, see :func:`codec.cli.build_parser`
    """
    parser = command(
        "report",
        _run,
        "combine evaluations and searches into one HTML page",
        "Combines evaluations and searches into one self-contained page: a table of all systems, their"
        " rate-distortion curves in one plot, and links to each report.",
    )
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="DIR", help="folder written by codec evaluate or codec search"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.html", help="page to write")


def _run(arguments: argparse.Namespace, rest: list[str]) -> int:
    from eval.pages.combined_page import write_combined_page

    write_combined_page(arguments.folders, arguments.out)
    print(f"report: {arguments.out}")
    return 0
