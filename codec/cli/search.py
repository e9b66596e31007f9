"""``codec search``: genetic search of recipes and operating points."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from codec.cli.common import AddCommand, Parser, add_data_option, add_quiet_option, positive, stdout_to_stderr
from codec.errors import UserError
from codec.runtime.command import command_line
from codec.runtime.imports import importing
from codec.runtime.messages import is_quiet
from codec.training.lean_lightning import import_lightning


def add_parser(command: AddCommand) -> None:
    """Add the command.

    Args:
        command: adds a command, see :func:`codec.cli.build_parser`
    """
    parser = command(
        "search",
        _run,
        "search recipes or operating points for quality, bit rate and speed by a genetic algorithm",
        "codec search run PLAN runs a search; codec search pick OUT selects its best candidate.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="run|pick", parser_class=Parser)
    run = actions.add_parser(
        "run",
        help="run a search; the same command continues it",
        description="Samples candidates from the search space of a plan (from recipes/search, or your own) with a"
        " genetic algorithm and at random, trains them, scores them on validation clips, and trains the better ones"
        " further (successive halving). Candidates are selected on one half of the validation groups; results are"
        " reported on the other half. Any number of processes may run the same command at once. Writes OUT/front.md,"
        " front.csv and front.json after each candidate, and the page front.html and front.png once a minute. The test"
        " split stays sealed.",
    )
    run.add_argument("plan", help="name of a plan, or path of a YAML file")
    add_data_option(run)
    run.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for candidates and tables")
    run.add_argument(
        "--storage",
        metavar="URL",
        help="a database, such as postgresql://…, instead of a journal file in OUT; all machines must share OUT",
    )
    run.add_argument(
        "--candidates",
        type=positive,
        metavar="N",
        help="candidates of each sampler (default: the plan's); a search that has ended goes on with a larger number",
    )
    add_quiet_option(run)
    run.add_argument("--json", action="store_true", help="print the result as JSON")
    pick = actions.add_parser(
        "pick",
        help="select the best candidate within limits and write it as a recipe or as settings",
        description="Selects the candidate of best quality within the limits from the Pareto front of a search.",
    )
    pick.add_argument("out", type=Path, metavar="OUT", help="folder of the search")
    pick.add_argument("--max-kbps", type=float, metavar="KBPS", help="highest measured bit rate")
    pick.add_argument(
        "--min-speed",
        type=float,
        metavar="X",
        help="lowest speed of encoding and of decoding, as a multiple of real time",
    )
    pick.add_argument(
        "--out",
        dest="recipe",
        type=Path,
        metavar="FILE.yaml",
        help="file for the recipe, or for the settings of the model",
    )
    pick.add_argument("--json", action="store_true", help="print as JSON")


def _run(arguments: argparse.Namespace, rest: list[str]) -> int:
    return _search(arguments) if arguments.action == "run" else _pick(arguments)


def _search(arguments: argparse.Namespace) -> int:
    with importing():
        import_lightning()
        from codec.dataset.location import parse_location
        from eval.search.report import search_text
        from eval.search.run import run_search
        from eval.search.verdict import describe_verdict

    with stdout_to_stderr():
        result = run_search(
            arguments.plan,
            parse_location(arguments.data),
            arguments.out,
            storage=arguments.storage,
            candidates=arguments.candidates,
            show=lambda known: None if is_quiet() else print(f"\n{search_text(known)}\n", flush=True),
        )
    if arguments.json:
        print(json.dumps(result.to_dict(), indent=1, default=str))
    elif is_quiet():
        print(f"{describe_verdict(result)} {arguments.out / 'front.html'}")
    else:
        following = command_line("codec", "search", "pick", arguments.out, "--out", "recipe.yaml")
        print(f"{search_text(result)}\nnext: {following}")
    return 0


def _pick(arguments: argparse.Namespace) -> int:
    with importing():
        from eval.search.pick import pick_candidate

    if arguments.recipe and arguments.recipe.suffix not in (".yaml", ".yml"):
        raise UserError(f"{arguments.recipe}: the name of a recipe must end in .yaml")
    found = pick_candidate(
        arguments.out, max_kbps=arguments.max_kbps, min_speed=arguments.min_speed, recipe=arguments.recipe
    )  # fmt: skip
    print(json.dumps(asdict(found), indent=1, default=str) if arguments.json else found.text())
    return 0
