"""``codec train``: a recipe and training data to a model."""

import argparse
from pathlib import Path

from codec.cli.common import AddCommand
from codec.cli.health import HEALTH_PAGE
from codec.errors import UserError
from codec.runtime import signals
from codec.runtime.command import command_line


def add_parser(command: AddCommand) -> None:
    """Add the command.

    Args:
        command: adds a command, see :func:`codec.cli.build_parser`
    """
    parser = command(
        "train",
        _run,
        "train a codec from a recipe; the same command resumes an interrupted run",
        "Trains a codec from a recipe. Any setting of the recipe can be overridden: codec train speech_16k --data D"
        " --run R --optim.lr 3e-4. docs/recipes.md lists all settings with their defaults; python -m"
        " codec.cli.reference prints it.",
    )
    parser.add_argument("recipe", help="name of a recipe, or path of a YAML file")
    parser.add_argument(
        "--data",
        required=True,
        metavar="DIR",
        help="folder written by codec prepare, or a folder or URL (s3://, https:// and others) with such a folder,"
        " or with tars of WebDataset or chunks of litdata in train/ and val/",
    )
    parser.add_argument("--run", type=Path, metavar="DIR", help="folder of the run: checkpoints, curves, model")
    parser.add_argument(
        "--init-from", metavar="MODEL", help="fine-tune this model (folder of a run or model, or a built-in name)"
    )
    parser.add_argument(
        "--from-best",
        action="store_true",
        help="resume from the checkpoint with the best validation instead of the last one",
    )
    parser.add_argument(
        "--lr-range-test", action="store_true", help="search for a good learning rate instead of training"
    )


def _run(arguments: argparse.Namespace, rest: list[str]) -> int:
    with signals.exit_on_interrupt():
        from codec.dataset.location import parse_location
        from codec.pretrained.registry import find_model
        from codec.recipe import read_recipe
        from codec.training.lr_range_test import run_lr_range_test
        from codec.training.trainer import train
        from eval.training_health.examine import examine
        from eval.training_health.page import write_health_page

    recipe, data = read_recipe(arguments.recipe, rest), parse_location(arguments.data)
    if arguments.lr_range_test:
        print(run_lr_range_test(recipe, data).text())
        return 0
    if arguments.run is None:
        raise UserError("--run is missing: give the folder for checkpoints, curves and the model")
    parent = find_model(arguments.init_from) if arguments.init_from else None
    with signals.interrupt_once(signals.RUN_SIGNALS):
        result = train(recipe, data, arguments.run, init_from=parent, from_best=arguments.from_best)
    health, page = examine(arguments.run), arguments.run / HEALTH_PAGE
    write_health_page(health, arguments.run, page)
    print(f"stopped after {result.steps} steps ({result.stopped}), {result.minutes:.1f} minutes of training")
    print(f"best: {health.best}")
    print(f"model: {arguments.run / 'model'}, described in its README.md")
    print(f"health: {health.answer} {page}")
    if isinstance(data, Path):
        print(f"next: {command_line('codec', 'evaluate', arguments.run, '--data', data)}")
    return 0
