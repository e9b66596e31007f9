"""``codec train``: a recipe and training data to a model."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from codec.cli.common import FAILED, INTERRUPTED, AddCommand, add_data_option, add_quiet_option, positive, print_error
from codec.cli.health import HEALTH_PAGE
from codec.errors import UserError
from codec.runtime import signals
from codec.runtime.command import command_line, command_words
from codec.runtime.imports import importing
from codec.runtime.launcher import end_with_launcher, launch
from codec.runtime.messages import is_quiet
from codec.runtime.process_layout import ProcessLayout, find_layout
from codec.training.lean_lightning import import_lightning

if TYPE_CHECKING:
    from codec.config import Recipe


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
    add_data_option(parser)
    parser.add_argument("--run", type=Path, metavar="DIR", help="folder of the run: checkpoints, curves, model")
    parser.add_argument("--steps", metavar="N", help="training steps at most, short for --train.steps")
    parser.add_argument("--minutes", metavar="M", help="minutes of training at most, short for --train.max_minutes")
    parser.add_argument(
        "--init-from", metavar="MODEL", help="fine-tune this model (folder of a run or model, or a built-in name)"
    )
    parser.add_argument(
        "--from-best",
        action="store_true",
        help="resume from the checkpoint with the best validation instead of the last one",
    )
    parser.add_argument(
        "--devices",
        type=_devices,
        metavar="N",
        help="GPUs of this machine to train on, or processes without GPUs; each computes its share of every batch"
        " (default: auto, all GPUs that the batch can be divided over, or one process)",
    )
    parser.add_argument(
        "--nodes",
        type=positive,
        default=1,
        metavar="M",
        help="machines to train on, on each of which this command runs with MASTER_ADDR and NODE_RANK; torchrun and"
        " srun set the number of processes themselves",
    )
    add_quiet_option(parser)
    parser.add_argument(
        "--lr-range-test", action="store_true", help="search for a good learning rate instead of training"
    )


def _devices(text: str) -> int | None:
    return None if text == "auto" else positive(text)


def _run(arguments: argparse.Namespace, rest: list[str]) -> int:
    layout = find_layout()
    leads = layout is None or layout.rank == 0
    try:
        # SIGUSR1 as well, from the first moment: it would end the process without a word
        with signals.interrupt_once(signals.RUN_SIGNALS):
            return _run_in(layout, leads, arguments, rest)
    except KeyboardInterrupt:
        if leads:
            raise
        return INTERRUPTED


def _run_in(layout: ProcessLayout | None, leads: bool, arguments: argparse.Namespace, rest: list[str]) -> int:
    with importing(signals.RUN_SIGNALS, tell=leads):
        from codec.dataset.location import parse_location
        from codec.pretrained.registry import find_model
        from codec.recipe import read_recipe

        if arguments.lr_range_test:
            import_lightning()
            from codec.training.lr_range_test import run_lr_range_test

    short = {"train.steps": arguments.steps, "train.max_minutes": arguments.minutes}
    recipe = read_recipe(arguments.recipe, [*rest, *(f"--{name}={value}" for name, value in short.items() if value)])
    if arguments.lr_range_test:
        print(run_lr_range_test(recipe, parse_location(arguments.data)).text())
        return 0
    if arguments.run is None:
        raise UserError("--run is missing: give the folder for checkpoints, curves and the model")
    parent = find_model(arguments.init_from) if arguments.init_from else None
    if layout is None:
        devices = arguments.devices or _all_devices(recipe, arguments.nodes)
        if devices * arguments.nodes > 1:
            return launch(command_words(), devices, arguments.nodes)
    elif arguments.devices not in (None, layout.local_count) or arguments.nodes not in (1, layout.nodes):
        raise UserError(
            f"--devices and --nodes do not fit the {layout.count} processes, {layout.local_count} on this machine, that"
            " torchrun or srun has started; leave them out"
        )
    end_with_launcher()
    return _train(arguments, recipe, parent, leads)


def _all_devices(recipe: "Recipe", nodes: int) -> int:
    """Return the number of GPUs that the batch can be divided over; 1 without a GPU."""
    import torch

    parts = recipe.data.batch_size // recipe.train.accumulate
    return max((count for count in range(1, torch.cuda.device_count() + 1) if parts % (count * nodes) == 0), default=1)


def _train(arguments: argparse.Namespace, recipe: "Recipe", parent: Path | None, leads: bool) -> int:
    with importing(signals.RUN_SIGNALS, tell=leads):
        from codec.dataset.location import parse_location

        import_lightning()
        from codec.training.joining import OtherProcessEnded
        from codec.training.trainer import train

        if leads:  # before the training, so that what is not installed costs none
            from eval.training_health.examine import examine
            from eval.training_health.page import write_health_page

    data = parse_location(arguments.data)
    try:
        result = train(recipe, data, arguments.run, init_from=parent, from_best=arguments.from_best)
    except OtherProcessEnded as error:
        return FAILED if error.reported else print_error(str(error), FAILED)
    if not leads:
        return 0
    health, page = examine(arguments.run), arguments.run / HEALTH_PAGE
    write_health_page(health, arguments.run, page)
    if is_quiet():
        print(f"stopped after {result.steps} steps ({result.stopped}); {health.answer} {page}")
        return 0
    print(f"stopped after {result.steps} steps ({result.stopped}), {result.minutes:.1f} minutes of training")
    print(f"best: {health.best}")
    print(f"model: {arguments.run / 'model'}, described in its README.md")
    print(f"health: {health.answer} {page}")
    sealed = isinstance(data, Path) and (data / "packed").is_dir()  # which other layouts have no test split for
    following = command_line(
        "codec", "evaluate", arguments.run, "--data", data, *([] if sealed else ["--split", "val"])
    )
    print(f"next: {following}")
    return 0
