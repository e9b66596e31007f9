"""``codec models``: the built-in models, and the user's own."""

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from codec.cli.common import AddCommand

if TYPE_CHECKING:
    from codec.pretrained.loaded_model import LoadedModel
    from codec.pretrained.registry import ModelFinder

MODEL_VARIABLE = "LATHE_MODEL"
"""Environment variable that names a model, in addition to the built-in ones."""


def add_parser(command: AddCommand) -> None:
    """Add the command.

    Args:
        command: adds a command, see :func:`codec.cli.build_parser`
    """
    parser = command(
        "models",
        _run,
        "list the built-in models, and the model of the variable LATHE_MODEL",
        "Lists the built-in models, and the model of the variable LATHE_MODEL, with the fingerprint in the files that"
        " they write, the expected bit rates of one channel with one codebook and with all, and the distribution that"
        " each came with. Then names the older models that are not installed.",
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")


def own_models() -> list[Path]:
    """Find the user's own model.

    Returns:
        The folder that :data:`MODEL_VARIABLE` names, or nothing if it is not set.
    """
    from codec.pretrained.registry import find_model

    return [find_model(name)] if (name := os.environ.get(MODEL_VARIABLE)) else []


def decoding_models(name: str | None, device: str, dtype: str) -> "LoadedModel | ModelFinder":
    """Load the model to decode with, or find that of each file.

    Args:
        name: the value of ``--model``; None for the model that a file names, from the built-in ones and the user's own
        device: device of the models
        dtype: data type of their decoders

    Returns:
        The model, or the finder.

    Raises:
        UserError: no such model, it is damaged, or the device cannot be used, or not with this type.
    """
    from codec.pretrained.registry import ModelFinder, load_model

    if name:
        return load_model(name, device, dtype=dtype)
    return ModelFinder(own_models(), device, dtype)


def _run(arguments: argparse.Namespace, rest: list[str]) -> int:
    from codec.pretrained.model_packages import INSTALL_OLDER_MODELS
    from codec.pretrained.registry import built_in, describe_model, not_installed

    folders = built_in() | {str(path): path for path in own_models()}
    models = [describe_model(name, folder) for name, folder in folders.items()]
    if arguments.json:
        print(json.dumps([asdict(model) for model in models], indent=1))
        return 0
    if models:
        width = max(len("model"), *(len(model.name) for model in models))
        print(f"{'model':{width}}  {'fingerprint':16}  {'Hz':>6}  {'kbit/s':>12}  {'parameters':>10}  from")
        for model in models:
            rates = f"{model.min_kbps:.2f} – {model.max_kbps:.2f}"
            print(
                f"{model.name:{width}}  {model.fingerprint}  {model.sample_rate:>6}  {rates:>12}"
                f"  {model.parameters / 1e6:>8.2f} M  {model.distribution or MODEL_VARIABLE}"
            )
    else:
        print("This installation has no built-in model. Train one with: codec train")
    if absent := not_installed():
        print(f"Not installed: {', '.join(absent)}; {INSTALL_OLDER_MODELS}")
    return 0
