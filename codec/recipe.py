"""Recipes: found by name or path, checked, with overrides from the command line."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from codec.config import Recipe
from codec.config.ranges import shown
from codec.errors import UserError
from codec.runtime import own_packages
from codec.runtime.atomic_files import write_text

Settings = TypeVar("Settings")

RECIPES = own_packages.FOLDER / "recipes"
"""The recipes that come with codec."""
MOST_LEVELS, MOST_ALIASES = 8, 16
"""Of a YAML file with settings. Aliases of aliases multiply: a few dozen can stand for more than fits into memory."""
MOST_SHOWN = 300
"""Characters of what was wrong."""


def recipe_names(folder: str = "") -> list[str]:
    """The recipes that come with the package, or those in a folder of theirs."""
    return sorted(path.stem for path in (RECIPES / folder).glob("*.yaml"))


def find_recipe(name: str, folder: str = "") -> Path:
    """The YAML file of a recipe given by name, or by path (with its suffix)."""
    if name in recipe_names(folder):
        return RECIPES / folder / f"{name}.yaml"
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise UserError(f"{path}: no such recipe file")
    names = ", ".join(recipe_names(folder))
    raise UserError(f"no recipe called {name!r}; there are {names}, or give a path ending in .yaml")


def read_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a recipe by name or path and applies overrides such as ``["--optim.lr", "3e-4"]``.

    Raises ``UserError`` with one line for a misspelt key, a wrong type or a value out of range.
    """
    return read_settings(find_recipe(name), Recipe(), overrides)


def read_settings(path: Path, defaults: Settings, overrides: Sequence[str] = ()) -> Settings:
    """A YAML file as a dataclass, the one of ``defaults``. Overrides and errors are those of :func:`read_recipe`."""
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--recipe", type=type(defaults))
    given = _read_yaml(path)
    _check_names(given, defaults, str(path))
    _check_overrides(overrides, defaults)
    prefixed = [f"--recipe.{word[2:]}" if word.startswith("--") else word for word in overrides]
    try:
        parsed = parser.parse_args(prefixed, namespace=parser.parse_object({"recipe": given}))
        recipe = parser.instantiate(parsed).recipe
    except (ArgumentError, ValueError, OverflowError, RecursionError) as error:
        reason = _short(str(error).replace("recipe.", ""))
        where = f"{path} with {_short(' '.join(overrides))}" if overrides else str(path)
        raise UserError(f"{where}: {reason}") from error
    assert isinstance(recipe, type(defaults))
    return recipe


def _read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file of nothing but plain values, a few levels deep.

    Raises:
        UserError: it cannot be read, or is nested deeper, or repeats itself by more aliases, than settings do.
    """
    depth = aliases = 0
    try:
        text = path.read_text(encoding="utf-8")
        for event in yaml.parse(text, yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            aliases += isinstance(event, yaml.AliasEvent)
            if depth > MOST_LEVELS or aliases > MOST_ALIASES:
                limits = f"at most {MOST_LEVELS} levels and {MOST_ALIASES} aliases"
                raise UserError(f"{path}: settings have {limits}")
        return yaml.safe_load(text) or {}
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a number of 5,000 digits
        raise UserError(f"{path}: not a YAML file ({_short(str(error))})") from error


def _short(text: str) -> str:
    """In one line, the middle of a long one left out."""
    line = " ".join(text.split())
    return line if len(line) <= MOST_SHOWN else f"{line[: MOST_SHOWN // 2]} … {line[-MOST_SHOWN // 2 :]}"


def _check_names(given: Any, defaults: Any, where: str) -> None:
    """Every section is a mapping, every key a setting. The parser would let some of this pass in silence. ``32`` for a
    setting that is one of some words is the word ``"32"``."""
    if not isinstance(given, dict):
        raise UserError(f"{where}: expected settings (name: value), got {shown(given)}")
    names = {field.name for field in fields(defaults)}
    for key, value in given.items():
        if key not in names:
            close = difflib.get_close_matches(str(key)[:MOST_SHOWN], names, 1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(names))}"
            raise UserError(f"{where}: no setting called {shown(key)}; {hint}")
        if value is None:
            raise UserError(f"{where}: {key} has no value")
        default = getattr(defaults, key)
        if is_dataclass(default):
            _check_names(value, default, f"{where}: {key}")
        elif isinstance(default, str) and type(value) in (int, float):
            given[key] = str(value)


def _check_overrides(overrides: Sequence[str], defaults: Any) -> None:
    """Every option is a setting, an entry of one that is a mapping, or a section."""
    known = dict(settings_of(defaults))
    for word in overrides:
        name = word[2:].partition("=")[0]
        entry = any(isinstance(value, dict) and name.startswith(f"{path}.") for path, value in known.items())
        section = any(path.startswith(f"{name}.") for path in known)
        if not word.startswith("--") or name in known or entry or section:
            continue
        raise UserError(f"no setting called {name}; {_hint(name.replace('-', '_'), known, defaults)}")


def _hint(name: str, known: Iterable[str], defaults: Any) -> str:
    """What may have been meant by the dotted ``name``: a setting of another section, one that is spelt alike, or else
    any of its section, for names of one section resemble one another by that alone."""
    section, _, last = name.rpartition(".")
    by_last = [path for path in known if path.rpartition(".")[2] == last]
    inside = {path.removeprefix(f"{section}."): path for path in known if path.startswith(f"{section}.")}
    close = [inside[word] for word in difflib.get_close_matches(last, inside, 1)]
    if not inside:
        close = difflib.get_close_matches(name, known, 1)
    if by_last or close:
        return f"did you mean {' or '.join(by_last or close)}?"
    return f"there are {', '.join(inside.values() or (field.name for field in fields(defaults)))}"


def settings_of(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting by its dotted name, with its value."""
    for field in fields(value):
        inner, name = getattr(value, field.name), f"{path}{field.name}"
        if is_dataclass(inner):
            yield from settings_of(inner, f"{name}.")
        else:
            yield name, inner


def changes(before: Any, after: Any) -> list[str]:
    """What differs between two of the same settings, such as ``--optim.lr 0.002 -> 0.001``."""
    pairs = zip(settings_of(before), settings_of(after), strict=True)
    return [f"--{name} {old} -> {new}" for (name, old), (_, new) in pairs if old != new]


def override_words(settings: Mapping[str, Any]) -> list[str]:
    """Settings, such as ``{"optim.lr": 3e-4}``, as the command line and :func:`read_recipe` have them."""
    plain = {key: json.dumps(value) if isinstance(value, (dict, list)) else value for key, value in settings.items()}
    return [f"--{key}={value}" for key, value in plain.items()]


def write_recipe(path: Path, recipe: Recipe) -> None:
    """Writes the recipe complete with all defaults, so that it stands when defaults change."""
    write_text(path, yaml.safe_dump(_plain(asdict(recipe)), sort_keys=False))


def _plain(value: object) -> object:
    """Tuples as lists: YAML has no tuples."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
