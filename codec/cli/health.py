"""``codec health``: a diagnosis of a training run, in progress or ended."""

import argparse
from pathlib import Path

from codec.cli.common import AddCommand, print_result
from codec.errors import UserError
from codec.runtime.imports import importing

HEALTH_PAGE = "health.html"
"""Name of the page in the folder of a run."""


def add_parser(command: AddCommand) -> None:
    """Add the command.

    Args:
        command: adds a command, see :func:`codec.cli.build_parser`
    """
    parser = command(
        "health",
        _run,
        "diagnose a training run, in progress or ended; writes a page of curves and audio examples",
        "Diagnoses a training run from the files that it wrote while it trained. For runs of earlier versions, it lists"
        " what they did not record.",
    )
    parser.add_argument("run", help="folder of the run, or name of a built-in model")
    parser.add_argument("--out", type=Path, metavar="PAGE", help="page to write (default: RUN/health.html)")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def _run(arguments: argparse.Namespace, rest: list[str]) -> int:
    with importing():
        from codec.pretrained.registry import built_in, find_model
        from eval.training_health.examine import examine
        from eval.training_health.page import write_health_page

    run = find_model(arguments.run)
    if arguments.out is None and arguments.run in built_in():
        raise UserError(f"{arguments.run} is a built-in model; give the page to write with --out")
    page = arguments.out or run / HEALTH_PAGE
    health = examine(run, arguments.run)
    write_health_page(health, run, page)
    print_result(health, arguments.json)
    if not arguments.json:
        print(f"page: {page}")
    return 0
