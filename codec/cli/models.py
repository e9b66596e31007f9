"""Models, by name or path: models, export."""

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path

from codec.cli.common import AddCommand
from codec.runtime import signals

MODEL_VARIABLE = "LATHE_MODEL"


def add_models(command: AddCommand) -> None:
    parser = command(
        "models",
        _models,
        "the models at hand: built in, and the one that LATHE_MODEL names",
        "The models at hand, with the fingerprint that is in the files they write, and the bit rates to expect of one"
        " channel with one codebook and with all.",
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")


def own_models() -> list[Path]:
    """What LATHE_MODEL names, if anything."""
    from codec.pretrained.registry import find_model

    return [find_model(name)] if (name := os.environ.get(MODEL_VARIABLE)) else []


def _models(arguments: argparse.Namespace, rest: list[str]) -> int:
    from codec.pretrained.registry import built_in, describe_model

    places = built_in() | {str(path): path for path in own_models()}
    found = [describe_model(name, place) for name, place in places.items()]
    if arguments.json:
        print(json.dumps([asdict(model) for model in found], indent=1))
    elif not found:
        print("no built-in model in this installation; train one with: codec train")
    else:
        width = max(len("model"), *(len(model.name) for model in found))
        print(f"{'model':{width}}  {'fingerprint':16}  {'Hz':>6}  {'kbit/s':>12}  {'parameters':>10}")
        for model in found:
            rates = f"{model.min_kbps:.2f} – {model.max_kbps:.2f}"
            print(
                f"{model.name:{width}}  {model.fingerprint}  {model.sample_rate:>6}  {rates:>12}"
                f"  {model.parameters / 1e6:>8.2f} M"
            )
    return 0


def add_export(command: AddCommand) -> None:
    parser = command("export", _export, "a model to keep or pass on: smaller, without what only training needs")
    parser.add_argument("run", help="folder of a run or model")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--onnx",
        action="store_true",
        help="write ONNX graphs beside it, for --device onnx, and for use without this program (needs the extra onnx)",
    )


def _export(arguments: argparse.Namespace, rest: list[str]) -> int:
    with signals.ends_at_once():
        from codec.pretrained.checkpoint import fingerprint
        from codec.pretrained.export import export_model
        from codec.pretrained.registry import find_model

    codec = export_model(find_model(arguments.run), arguments.out, arguments.onnx)
    print(f"{arguments.out}: model {fingerprint(codec)}")
    return 0
