"""``codec compare``: several codecs trained on the same data."""

import argparse
import json
from pathlib import Path

from codec.cli.common import FAILED, AddCommand, add_data_option, add_quiet_option, stdout_to_stderr
from codec.runtime.messages import is_quiet


def add_parser(command: AddCommand) -> None:
    """Add the command.

    Args:
        command: adds a command, see :func:`codec.cli.build_parser`
    """
    parser = command(
        "compare",
        _run,
        "train several codecs on the same data and tabulate their validation quality",
        "Trains the candidates of a plan (from recipes/compare, or your own) with the same loop, losses and budget, and"
        " scores them on validation clips at several bit rates, with differences paired over speakers. Writes"
        " OUT/comparison.md, comparison.json and curves.png. The same command continues after an interruption;"
        " finished trainings are not repeated.",
    )
    parser.add_argument("plan", help="name of a plan, such as peers, equal_examples, ablation; or path of a YAML file")
    add_data_option(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for runs and tables")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument(
        "--minutes", type=float, help="minutes of training for each candidate (default: the plan's budget)"
    )
    budget.add_argument("--steps", type=int, help="training steps for each candidate (default: the plan's budget)")
    parser.add_argument(
        "--seeds", type=int, nargs="+", metavar="N", help="seeds of every candidate (default: the plan's)"
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="train only these candidates")
    add_quiet_option(parser)
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")


def _run(arguments: argparse.Namespace, rest: list[str]) -> int:
    from codec.dataset.location import parse_location
    from eval.comparison.plan import PlanOverrides
    from eval.comparison.report import comparison_markdown
    from eval.comparison.run import compare

    overrides = PlanOverrides(arguments.minutes, arguments.steps, arguments.seeds, arguments.only)
    with stdout_to_stderr():
        result = compare(arguments.plan, parse_location(arguments.data), arguments.out, overrides)
    if arguments.json:
        print(json.dumps(result.to_dict(), indent=1, default=str))
    elif is_quiet():
        trained = sum(bool(candidate.runs) for candidate in result.candidates)
        compared = f"{trained} of {len(result.candidates)} candidates on {result.clips} clips"
        print(f"compared {compared} {arguments.out / 'comparison.md'}")
    else:
        print(comparison_markdown(result))
    return FAILED if result.failed else 0
