"""``codec report``: several runs, or several evaluations and searches, on one page."""

import argparse
from pathlib import Path

from codec.cli.common import AddCommand
from codec.errors import UserError


def add_parser(command: AddCommand) -> None:
    """Add the command.

    Args:
        command: adds a command, see :func:`codec.cli.build_parser`
    """
    parser = command(
        "report",
        _run,
        "compare runs, or combine evaluations and searches, on one HTML page",
        "Writes one self-contained page. Of runs: their validation clips side by side, curves in one plot, the settings"
        " in which their recipes differ, and paired differences by metrics, if all have been evaluated on the same"
        " split; also at several sample rates. Of evaluations and searches: a table of all systems, their"
        " rate-distortion curves in one plot, and links to each report.",
    )
    parser.add_argument(
        "folders",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="folder of a run, or one written by codec evaluate or codec search",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.html", help="page to write")


def _run(arguments: argparse.Namespace, rest: list[str]) -> int:
    from eval.pages.combined_page import write_combined_page
    from eval.training_health.run_comparison import is_run
    from eval.training_health.runs_page import write_runs_page

    if arguments.out.suffix not in (".html", ".htm"):
        raise UserError(f"{arguments.out}: the page is written as HTML; give it a name that ends in .html")
    runs = [folder for folder in arguments.folders if is_run(folder)]
    if runs and len(runs) < len(arguments.folders):
        other = next(folder for folder in arguments.folders if folder not in runs)
        raise UserError(f"{other}: is no run, but {runs[0]} is; compare runs alone, or give their evaluation/ folders")
    if runs:
        print(write_runs_page(runs, arguments.out))
    else:
        write_combined_page(arguments.folders, arguments.out)
    print(f"report: {arguments.out}")
    return 0
