"""Training data to models: quickstart, train."""

import argparse
from pathlib import Path

from codec.cli.common import AddCommand, command_line, show
from codec.errors import UserError
from codec.runtime import signals

HEALTH_PAGE = "health.html"


def add_quickstart(command: AddCommand) -> None:
    parser = command("quickstart", _quickstart, "audio to trained, judged codec in a few minutes, ending in a report")
    parser.add_argument("--audio", type=Path, metavar="DIR", help="your own audio (default: a small synthetic corpus)")
    parser.add_argument("--group-by", metavar="RULE", help="what never straddles splits, as for codec prepare")
    parser.add_argument("--out", type=Path, default=Path("lathe-quickstart"), metavar="DIR", help="%(default)s")


def _quickstart(arguments: argparse.Namespace, rest: list[str]) -> int:
    with signals.ends_at_once():
        from codec.cli.quickstart import quickstart

    quickstart(arguments.audio, arguments.out, arguments.group_by)
    return 0


def add_train(command: AddCommand) -> None:
    parser = command(
        "train",
        _train,
        "train a codec from a recipe; the same command again resumes",
        "Any setting of the recipe can be overridden: codec train speech_16k --data D --run R --optim.lr 3e-4. All are"
        " listed, with defaults, in docs/recipes.md, which python -m codec.cli.reference prints.",
    )
    parser.add_argument("recipe", help="name of a recipe, or path of a YAML file")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder written by codec prepare")
    parser.add_argument("--run", type=Path, metavar="DIR", help="folder of the run: checkpoints, curves, model")
    parser.add_argument(
        "--init-from", metavar="MODEL", help="fine-tune this model (folder of a run or model, or a built-in name)"
    )
    parser.add_argument(
        "--from-best", action="store_true", help="go on from the best validation in place of the last checkpoint"
    )
    parser.add_argument("--lr-range-test", action="store_true", help="find a learning rate instead of training")


def add_health(command: AddCommand) -> None:
    parser = command(
        "health",
        _health,
        "is this run all right? a verdict, and a page of curves and sounds; also of a run in progress",
        "Reads what a run wrote while it trained. Of runs of earlier versions it says what was not recorded.",
    )
    parser.add_argument("run", help="folder of the run, or name of a built-in model")
    parser.add_argument("--out", type=Path, metavar="PAGE", help="where the page goes (default: RUN/health.html)")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def _health(arguments: argparse.Namespace, rest: list[str]) -> int:
    with signals.ends_at_once():
        from codec.pretrained.registry import built_in
        from eval.training_health.examine import examine
        from eval.training_health.page import write_health_page

    model = built_in().get(arguments.run)
    if model and arguments.out is None:
        raise UserError(f"{arguments.run} is a built-in model; say with --out where its page should go")
    run = model or Path(arguments.run)
    page = arguments.out or run / HEALTH_PAGE
    health = examine(run, arguments.run)
    write_health_page(health, run, page)
    show(health, arguments.json)
    if not arguments.json:
        print(f"page: {page}")
    return 0


def _train(arguments: argparse.Namespace, rest: list[str]) -> int:
    with signals.ends_at_once():
        from codec.pretrained.registry import find
        from codec.recipe import read_recipe
        from codec.training.lr_range_test import run_lr_range_test
        from codec.training.trainer import train
        from eval.training_health.examine import examine
        from eval.training_health.page import write_health_page

    recipe = read_recipe(arguments.recipe, rest)
    if arguments.lr_range_test:
        print(run_lr_range_test(recipe, arguments.data).text())
        return 0
    if arguments.run is None:
        raise UserError("where should the run go? give a folder with --run")
    parent = find(arguments.init_from) if arguments.init_from else None
    with signals.raised_once(signals.RUN_SIGNALS):
        result = train(recipe, arguments.data, arguments.run, init_from=parent, from_best=arguments.from_best)
    health, page = examine(arguments.run), arguments.run / HEALTH_PAGE
    write_health_page(health, arguments.run, page)
    print(f"stopped after {result.steps} steps ({result.stopped}), {result.minutes:.1f} minutes of training")
    print(f"best: {health.best}")
    print(f"model: {arguments.run / 'model'}")
    print(f"health: {health.answer} {page}")
    print(f"next: {command_line('codec', 'evaluate', arguments.run, '--data', arguments.data)}")
    return 0
