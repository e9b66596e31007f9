"""Searching recipes and operating points: search run, search pick."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from codec.cli.common import AddCommand, Parser, command_line, result_alone
from codec.errors import UserError
from codec.runtime import signals


def add_search(command: AddCommand) -> None:
    parser = command(
        "search",
        _search,
        "find recipes or operating points by genetic search: quality, bit rate, speed",
        "codec search run PLAN works on a search; codec search pick OUT takes the best of what it found.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="run|pick", parser_class=Parser)
    run = actions.add_parser(
        "run",
        help="work on a search; the same command again goes on",
        description="Draws candidates from the space of a plan (recipes/search, or your own), by genetic and by random"
        " search, trains and judges them on validation clips, and trains the better ones on. Half of the groups choose,"
        " the other half reports. Any number of processes may run the same command at once. Writes OUT/front.md,"
        " front.csv, front.json and the page front.html after each candidate, front.png now and then. The test split"
        " stays sealed.",
    )
    run.add_argument("plan", help="name of a plan, or path of a YAML file")
    run.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder written by codec prepare")
    run.add_argument("--out", type=Path, required=True, metavar="DIR", help="where candidates and tables go")
    run.add_argument(
        "--storage",
        metavar="URL",
        help="a database, such as postgresql://…, in place of a journal file in OUT; OUT must be seen by all machines",
    )
    run.add_argument("--json", action="store_true", help="print the result as JSON")
    pick = actions.add_parser(
        "pick",
        help="the best on the front within limits, as a recipe or as settings",
        description="The candidate on a search's front with the best quality within the limits.",
    )
    pick.add_argument("out", type=Path, metavar="OUT", help="folder of the search")
    pick.add_argument("--max-kbps", type=float, metavar="KBPS", help="real bits, no more than this")
    pick.add_argument("--min-speed", type=float, metavar="X", help="encoding and decoding, times real time")
    pick.add_argument(
        "--out", dest="recipe", type=Path, metavar="FILE.yaml", help="write the recipe, or how to use the model, here"
    )
    pick.add_argument("--json", action="store_true", help="print as JSON")


def _search(arguments: argparse.Namespace, rest: list[str]) -> int:
    return _run(arguments) if arguments.action == "run" else _pick(arguments)


def _run(arguments: argparse.Namespace) -> int:
    with signals.ends_at_once():
        from eval.search.scheduler import search
        from eval.search.tables import text

    with result_alone():
        result = search(
            arguments.plan,
            arguments.data,
            arguments.out,
            storage=arguments.storage,
            show=lambda known: print(f"\n{text(known)}\n", flush=True),
        )
    if arguments.json:
        print(json.dumps(result.to_dict(), indent=1, default=str))
    else:
        following = command_line("codec", "search", "pick", arguments.out, "--out", "recipe.yaml")
        print(f"{text(result)}\nnext: {following}")
    return 0


def _pick(arguments: argparse.Namespace) -> int:
    with signals.ends_at_once():
        from eval.search.pick import pick

    if arguments.recipe and arguments.recipe.suffix not in (".yaml", ".yml"):
        raise UserError(f"{arguments.recipe}: a recipe's name ends in .yaml")
    found = pick(
        arguments.out, max_kbps=arguments.max_kbps, min_speed=arguments.min_speed, recipe=arguments.recipe
    )  # fmt: skip
    print(json.dumps(asdict(found), indent=1, default=str) if arguments.json else found.text())
    return 0
