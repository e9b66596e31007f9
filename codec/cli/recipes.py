"""``codec recipes``: the recipes that come with the package, and copies to change."""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from codec.cli.common import AddCommand, print_note
from codec.errors import UserError


@dataclass(frozen=True)
class _Listed:
    """A recipe in figures."""

    name: str
    purpose: str
    """The comment at the top of its file."""
    sample_rate: int
    """Sample rate in Hz."""
    nominal_kbps: float
    """Bit rate of codes of fixed width of one channel, with all codebooks, in kbit/s."""
    frame_rate_hz: float
    """Latent frames per second."""
    latency_ms: float
    parameters: int
    """Number of weights that gradients train, or somewhat fewer."""
    summary: str


def add_parser(command: AddCommand) -> None:
    """Add the command.

    Args:
        command: adds a command, see :func:`codec.cli.build_parser`
    """
    parser = command(
        "recipes",
        _run,
        "list the recipes, show one, or copy it to change it",
        "Lists the recipes that come with the package, with what their codecs will be. With a name, prints the file of"
        " that recipe, and on standard error what its codec will be; with --out, writes a new recipe whose base"
        " it is, to which you add what you change.",
    )
    parser.add_argument("recipe", nargs="?", help="name of a recipe, or path of a YAML file")
    parser.add_argument("--out", type=Path, metavar="FILE.yaml", help="write a recipe with this base")
    parser.add_argument("--all-settings", action="store_true", help="with all settings, also those with defaults")
    parser.add_argument("--json", action="store_true", help="print as JSON")


def _run(arguments: argparse.Namespace, rest: list[str]) -> int:
    if arguments.recipe is None:
        if arguments.out or arguments.all_settings:
            raise UserError("--out and --all-settings are for one recipe; give its name")
        return _list(arguments.json)
    return _copy(arguments) if arguments.out else _show(arguments)


def _list(as_json: bool) -> int:
    from codec.recipe import find_recipe, opening_comment, read_recipe, recipe_names

    listed = []
    for name in recipe_names():
        config = read_recipe(name).codec
        purpose = opening_comment(find_recipe(name))
        kbps = config.kbps_per_codebook * config.quantizer.codebooks
        numbers = config.sample_rate, kbps, config.frame_rate_hz, config.latency_ms, config.trained_count
        listed.append(_Listed(name, purpose, *numbers, config.text()))
    if as_json:
        print(json.dumps([asdict(one) for one in listed], indent=1))
        return 0
    for one in listed:
        print(f"{one.name}: {one.purpose}\n    {one.summary}")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from codec.recipe import find_recipe, format_recipe, read_recipe

    recipe = read_recipe(arguments.recipe)
    if arguments.json:
        print(json.dumps(asdict(recipe), indent=1))
        return 0
    if arguments.all_settings:
        print(format_recipe(recipe), end="")
    else:
        print(find_recipe(arguments.recipe).read_text(encoding="utf-8"), end="")
    print_note(recipe.codec.text())
    return 0


def _copy(arguments: argparse.Namespace) -> int:
    from codec.recipe import BASE, find_recipe, format_recipe, read_recipe, recipe_names
    from codec.runtime.atomic_files import write_text

    out: Path = arguments.out
    if out.suffix not in (".yaml", ".yml"):
        raise UserError(f"{out}: a recipe is a file that ends in .yaml")
    if out.exists():
        raise UserError(f"{out}: exists already; choose another name")
    if not out.parent.is_dir():
        raise UserError(f"{out.parent}: the folder does not exist; create it first")
    recipe = read_recipe(arguments.recipe)
    if arguments.all_settings:
        text = format_recipe(recipe)
    else:
        known = arguments.recipe in recipe_names()
        base = arguments.recipe if known else json.dumps(str(find_recipe(arguments.recipe).resolve()))
        text = f"# Add what differs; codec recipes {arguments.recipe} --all-settings prints all.\n{BASE}: {base}\n"
    write_text(out, text)
    print(f"{out}: train it with codec train {out} --data DATA --run RUN")
    return 0
