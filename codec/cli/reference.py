"""The references of all settings of a recipe and of all commands, generated from the code.

``python -m codec.cli.reference recipes > docs/recipes.md`` takes the settings from the docstrings of
:mod:`codec.config`; ``python -m codec.cli.reference commands > docs/commands.md`` takes the commands from the parser.
"""

import argparse
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from docstring_parser import parse_from_object

from codec.config import Recipe
from codec.losses import LOSS_TERMS
from codec.recipe import find_recipe, opening_comment, recipe_names

_RECIPES = """# Recipes

A recipe holds all settings of a training run except the data. `codec train` takes one by its name or by the path of a
YAML file:

```
codec train speech_16k --data data/speech --run runs/a --optim.lr 3e-4 --losses.stft 1
```

A file has the sections below, with only those settings that differ from the defaults. Any setting can be overridden
on the command line by its name in these tables; `--steps` and `--minutes` are short for `--train.steps` and
`--train.max_minutes`. `RUN/recipe.yaml` is the complete recipe that a run was trained with, and can be used as a
recipe itself.

A recipe can change another one, by its name or by its path from the folder of the file:

```yaml
base: speech_24k
optim: {lr: 1e-3}
losses: {stft: 1}    # losses are changed one by one; other mappings and lists are replaced as a whole
```

`codec recipes` lists the recipes, `codec recipes speech_24k` shows one, and `codec recipes speech_24k --out mine.yaml`
begins a new one like this. This page is written by `python -m codec.cli.reference recipes` from `codec/config/`.
"""
_COMMANDS = """# Commands

The arguments of all commands. This page is written by `python -m codec.cli.reference commands`.

The exit status is 0 on success, 1 if files failed, 2 for bad input and 130 after an interruption. Errors
are printed to standard error, one line each.
"""


def recipe_reference() -> str:
    """Describe all recipes of the package and all settings.

    Returns:
        A page in Markdown.
    """
    recipes = [f"- `{name}`: {opening_comment(find_recipe(name))}" for name in recipe_names()]
    losses = f"Losses, to be used as `--losses.NAME WEIGHT`: {', '.join(f'`{name}`' for name in LOSS_TERMS)}."
    parts = [_RECIPES, "## Recipes that come with the package\n", *recipes, "", "## Settings\n", losses]
    return "\n".join([*parts, *_section(Recipe())]) + "\n"


def command_reference() -> str:
    """Describe all commands and their arguments.

    Returns:
        A page in Markdown.
    """
    from codec.cli import build_parser

    return "\n".join([_COMMANDS, *_commands(build_parser())]) + "\n"


def _commands(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the sections of the commands of a parser, and of their own commands."""
    for action in parser._actions:  # argparse has no public list of them
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield f"## {command.prog}\n\n{_line(command.description)}\n"
                yield from _arguments(command)
                yield from _commands(command)


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    shown = [
        action
        for action in parser._actions
        if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)
    ]
    if shown:
        yield "| argument | meaning |\n|---|---|"
        formatter = argparse.HelpFormatter(parser.prog)
        for action in shown:
            name = _invocation(formatter, action).replace("|", "\\|")
            yield f"| `{name}` | {_line(formatter._expand_help(action))} |"
        yield ""


def _invocation(formatter: argparse.HelpFormatter, action: argparse.Action) -> str:
    """Return an argument as it is typed, in the same way for all versions of Python."""
    if not action.option_strings:
        return str(action.metavar or action.dest)
    values = "" if action.nargs == 0 else formatter._format_args(action, action.dest.upper())
    return f"{', '.join(action.option_strings)} {values}".rstrip()


def _line(text: str | None) -> str:
    """Put a text on one line of a Markdown table."""
    return " ".join((text or "").split()).replace("|", "\\|").replace("<", "&lt;")


def _section(values: Any, name: str = "") -> Iterator[str]:
    """Yield the table of a section's own settings, then the sections in it."""
    described = parse_from_object(type(values))
    texts = {entry.arg_name: _markdown(entry.description) for entry in described.params}
    own = [field for field in fields(values) if not is_dataclass(getattr(values, field.name))]
    if name:
        yield f"\n### {name}\n\n{_markdown(described.description)}"
    yield "\n| setting | type | range | default | meaning |\n|---|---|---|---|---|"
    for field in own:
        path = f"{name}.{field.name}".lstrip(".")
        default = _default(getattr(values, field.name))
        limits = values.RANGES.get(field.name, "")
        yield f"| `{path}` | {_type(field.type)} | {limits} | `{default}` | {texts[field.name]} |"
    for field in fields(values):
        if field not in own:
            yield from _section(getattr(values, field.name), f"{name}.{field.name}".lstrip("."))


def _markdown(docstring: str | None) -> str:
    """Put a docstring on one line."""
    return " ".join((docstring or "").replace("``", "`").split())


def _type(kind: Any) -> str:
    """Describe a type in the words of a recipe."""
    if isinstance(kind, type) and not hasattr(kind, "__args__"):
        return kind.__name__
    if kind.__module__ == "typing":
        return " or ".join(f"`{value}`" for value in kind.__args__)
    if kind.__origin__ is dict:
        return "name: number"
    return "list of whole numbers" if kind.__args__[0] is int else "two numbers"


def _default(value: Any) -> str:
    if isinstance(value, tuple):
        return str(list(value))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {item}" for key, item in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    pages = {"recipes": recipe_reference, "commands": command_reference}
    arguments = argparse.ArgumentParser(
        prog="python -m codec.cli.reference", description=(__doc__ or "").splitlines()[0]
    )
    arguments.add_argument("page", choices=pages, help="the page to print, in Markdown")
    print(pages[arguments.parse_args().page](), end="")
