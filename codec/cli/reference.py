"""The reference of all settings of a recipe, from the docstrings beside them: ``python -m codec.cli.reference >
docs/recipes.md``."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from docstring_parser import parse_from_object

from codec.config import Recipe
from codec.losses import TERMS
from codec.recipe import find_recipe, recipe_names

INTRODUCTION = """# Recipes

A recipe says all about a training run but the data. `codec train` takes one by its name or by the path of a YAML file:

```
codec train speech_16k --data data/speech --run runs/a --optim.lr 3e-4 --losses.stft 1
```

A file has the sections below, and of them only what differs from the defaults. Any setting can be overridden on the
command line by its name as it stands here. `RUN/recipe.yaml` is the recipe that a run was trained with, complete, and a
recipe itself. This page is written by `python -m codec.cli.reference` from `codec/config/`.
"""


def reference() -> str:
    """The page, in Markdown."""
    recipes = [f"- `{name}`: {_opening(name)}" for name in recipe_names()]
    losses = f"Losses, to be used as `--losses.NAME WEIGHT`: {', '.join(f'`{name}`' for name in TERMS)}."
    parts = [INTRODUCTION, "## Recipes that come with the package\n", *recipes, "", "## Settings\n", losses]
    return "\n".join([*parts, *_section(Recipe())]) + "\n"


def _opening(name: str) -> str:
    """The comment that a recipe begins with."""
    lines = find_recipe(name).read_text(encoding="utf-8").splitlines()
    count = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return " ".join(line.lstrip("# ") for line in lines[:count])


def _section(values: Any, name: str = "") -> Iterator[str]:
    """A table of a section's own settings, and the sections in it."""
    described = parse_from_object(type(values))
    texts = {entry.arg_name: _markdown(entry.description) for entry in described.params}
    own = [field for field in fields(values) if not is_dataclass(getattr(values, field.name))]
    if name:
        yield f"\n### {name}\n\n{_markdown(described.description)}"
    yield "\n| setting | type | range | default | what it is |\n|---|---|---|---|---|"
    for field in own:
        path = f"{name}.{field.name}".lstrip(".")
        default = _default(getattr(values, field.name))
        limits = values.RANGES.get(field.name, "")
        yield f"| `{path}` | {_type(field.type)} | {limits} | `{default}` | {texts[field.name]} |"
    for field in fields(values):
        if field not in own:
            yield from _section(getattr(values, field.name), f"{name}.{field.name}".lstrip("."))


def _markdown(docstring: str | None) -> str:
    """On one line."""
    return " ".join((docstring or "").replace("``", "`").split())


def _type(kind: Any) -> str:
    """As it is written in a recipe."""
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
    print(reference(), end="")
