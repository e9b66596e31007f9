"""Recipes: YAML files that are found by name or path, checked, and changed by overrides of the command line."""

import difflib
import functools
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from codec.config import Recipe
from codec.config.ranges import shorten
from codec.errors import UserError
from codec.runtime import own_packages
from codec.runtime.atomic_files import write_text

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

SettingsT = TypeVar("SettingsT")

_RECIPES = own_packages.FOLDER / "recipes"
_MAX_LEVELS, _MAX_ALIASES = 8, 16
"""Nesting levels and aliases of a YAML file. Aliases of aliases multiply: a few dozen can stand for more than fits into
memory."""
_MAX_BASES = 8
BASE = "base"
"""Key of a recipe file: the name of the recipe that it changes, or its path from the folder of the file."""
_MAX_SHOWN = 300
"""Characters of an invalid value or of a parser's message that are printed."""


def recipe_names(folder: str = "") -> list[str]:
    """List the recipes that come with the package.

    Args:
        folder: folder of the package's recipes, such as ``compare``; by default that of the recipes themselves

    Returns:
        Names, sorted.

    >>> "speech_16k" in recipe_names()
    True
    """
    return sorted(path.stem for path in (_RECIPES / folder).glob("*.yaml"))


def find_recipe(name: str, folder: str = "") -> Path:
    """Find the YAML file of a recipe.

    Args:
        name: name of a recipe that comes with the package, or path of a file that ends in ``.yaml`` or ``.yml``
        folder: see :func:`recipe_names`

    Returns:
        The file.

    Raises:
        UserError: there is no such recipe.
    """
    if name in recipe_names(folder):
        return _RECIPES / folder / f"{name}.yaml"
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise UserError(f"{path}: no such recipe file")
    names = ", ".join(recipe_names(folder))
    raise UserError(f"no recipe called {name!r}; there are {names}, or give a path ending in .yaml")


def read_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe over the recipe that its key ``base`` names, if it has one, and apply overrides.

    Args:
        name: name or path of the recipe, see :func:`find_recipe`
        overrides: options as on the command line, such as ``["--optim.lr", "3e-4"]`` or ``["--optim.lr=3e-4"]``

    Returns:
        The recipe.

    Raises:
        UserError: a key is misspelt, a value has a wrong type, or is out of range; one line.

    >>> read_recipe("speech_16k", ["--optim.lr=3e-4", "--train.steps=500"]).train.steps
    500
    """
    path = find_recipe(name)
    return _parse_settings(_read_with_bases(path), path, Recipe(), overrides)


def _read_with_bases(path: Path, derived: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read the settings of a recipe file over those of its ``base``, the base's base, and so on.

    Args:
        path: the file
        derived: files that lead to it
    """
    if path.resolve() in derived or len(derived) >= _MAX_BASES:
        raise UserError(f"{path}: its bases lead back to it, or there are more than {_MAX_BASES}")
    given = _read_yaml(path)
    _check_mapping(given, str(path))
    if BASE not in given:
        return given
    base = given.pop(BASE)
    if not isinstance(base, str):
        raise UserError(f"{path}: {BASE} is the name or path of a recipe, not {shorten(base)}")
    found = find_recipe(base if base in recipe_names() else str(path.parent / base))
    _check_names(given, Recipe(), str(path))
    return _merge(_read_with_bases(found, (*derived, path.resolve())), given, Recipe())


def _merge(base: dict[str, Any], given: dict[str, Any], defaults: Any) -> dict[str, Any]:
    """Return a recipe's settings over those of its base. Losses are changed one by one, like the settings of a section;
    any other mapping or list is replaced as a whole.
    """
    merged = dict(base)
    for key, value in given.items():
        default = getattr(defaults, key, None)
        mappings = isinstance(base.get(key), dict) and isinstance(value, dict)
        if mappings and (is_dataclass(default) or key == "losses"):
            value = _merge(base[key], value, default)
        merged[key] = value
    return merged


def read_settings(path: Path, defaults: SettingsT, overrides: Sequence[str] = ()) -> SettingsT:
    """Read settings of any kind from a YAML file.

    Args:
        path: the file
        defaults: instance of the dataclass of the settings, with the values of keys that the file does not have
        overrides: as for :func:`read_recipe`

    Returns:
        The settings, in the dataclass of ``defaults``.

    Raises:
        UserError: as :func:`read_recipe`.
    """
    return _parse_settings(_read_yaml(path), path, defaults, overrides)


def _parse_settings(given: dict[str, Any], path: Path, defaults: SettingsT, overrides: Sequence[str]) -> SettingsT:
    from jsonargparse import ArgumentError

    kind: type = type(defaults)
    parser = _parser_of(kind)
    _check_names(given, defaults, str(path))
    overrides = _with_plain_integers(overrides, defaults)
    _check_overrides(overrides, defaults)
    prefixed = [f"--recipe.{word[2:]}" if word.startswith("--") else word for word in overrides]
    try:
        parsed = parser.parse_object({"recipe": given})
        if prefixed:
            parsed = parser.parse_args(prefixed, namespace=parsed)
        recipe = parser.instantiate(parsed).recipe
    except (ArgumentError, ValueError, OverflowError, RecursionError) as error:
        reason = _short(str(error).replace("recipe.", ""))
        where = f"{path} with {_short(' '.join(overrides))}" if overrides else str(path)
        raise UserError(f"{where}: {reason}") from error
    assert isinstance(recipe, type(defaults))
    return recipe


@functools.cache
def _parser_of(kind: type) -> "ArgumentParser":
    """Make the parser of the settings in a dataclass, which takes longer than to use it."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--recipe", type=kind)
    return parser


def _read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file of plain values; one that is nested too deeply or has too many aliases is refused."""
    depth = aliases = 0
    try:
        text = path.read_text(encoding="utf-8")
        for event in yaml.parse(text, yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            aliases += isinstance(event, yaml.AliasEvent)
            if depth > _MAX_LEVELS or aliases > _MAX_ALIASES:
                limits = f"at most {_MAX_LEVELS} levels and {_MAX_ALIASES} aliases"
                raise UserError(f"{path}: settings have {limits}")
        return yaml.safe_load(text) or {}
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a number of 5,000 digits
        raise UserError(f"{path}: not a YAML file ({_short(str(error))})") from error


def _short(text: str) -> str:
    """Bring a text on one line, without the middle part if it is long."""
    line = " ".join(text.split())
    return line if len(line) <= _MAX_SHOWN else f"{line[: _MAX_SHOWN // 2]} … {line[-_MAX_SHOWN // 2 :]}"


def _check_names(given: Any, defaults: Any, where: str) -> None:
    """Check that each section is a mapping and each key a setting, which the parser does in part only.

    A number for a setting that is a word, such as ``precision: 32``, is turned into a word, and a whole number that is
    written like ``1e5`` into an integer.
    """
    _check_mapping(given, where)
    names = {field.name for field in fields(defaults)}
    for key, value in given.items():
        if key not in names:
            close = difflib.get_close_matches(str(key)[:_MAX_SHOWN], names, 1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(names))}"
            raise UserError(f"{where}: no setting called {shorten(key)}; {hint}")
        if value is None:
            raise UserError(f"{where}: {key} has no value")
        default = getattr(defaults, key)
        if is_dataclass(default):
            _check_names(value, default, f"{where}: {key}")
        elif isinstance(default, str) and type(value) in (int, float):
            given[key] = str(value)
        elif type(default) is int:
            given[key] = _plain_integer(value)


def _check_mapping(given: Any, where: str) -> None:
    if not isinstance(given, dict):
        raise UserError(f"{where}: expected settings (name: value), got {shorten(given)}")


def _plain_integer(value: Any) -> Any:
    """Return a whole number below 10^15 that is written as another one is, such as ``1e5``, as an integer."""
    try:
        number = float(value) if isinstance(value, (str, float)) else math.nan
    except ValueError:
        return value
    return int(number) if abs(number) < 1e15 and number.is_integer() else value


def _with_plain_integers(overrides: Sequence[str], defaults: Any) -> list[str]:
    """Write the integers among overrides with digits alone."""
    integers = {f"--{name}" for name, value in settings_of(defaults) if type(value) is int}
    words: list[str] = []
    for word in overrides:
        name, equals, value = word.partition("=")
        if name in integers and equals:
            word = f"{name}={_plain_integer(value)}"
        elif words and words[-1] in integers:
            word = str(_plain_integer(word))
        words.append(word)
    return words


def _check_overrides(overrides: Sequence[str], defaults: Any) -> None:
    """Check that each option is a setting, an entry of a setting that is a mapping, or a section."""
    known = dict(settings_of(defaults))
    for word in overrides:
        name = word[2:].partition("=")[0]
        entry = any(isinstance(value, dict) and name.startswith(f"{path}.") for path, value in known.items())
        section = any(path.startswith(f"{name}.") for path in known)
        if not word.startswith("--") or name in known or entry or section:
            continue
        raise UserError(f"no setting called {name}; {_hint(name.replace('-', '_'), known, defaults)}")


def _hint(name: str, known: Iterable[str], defaults: Any) -> str:
    """Suggest settings for a dotted name that is unknown.

    They are settings of the same name in other sections, similar ones in the same section, or all of its section (names
    of one section are similar to each other for the section alone).
    """
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
    """List the settings of a recipe, or of other settings.

    Args:
        value: the dataclass
        path: prefix of the names

    Yields:
        Dotted name and value of each setting.

    >>> dict(settings_of(Recipe()))["optim.warmup_steps"]
    100
    """
    for field in fields(value):
        inner, name = getattr(value, field.name), f"{path}{field.name}"
        if is_dataclass(inner):
            yield from settings_of(inner, f"{name}.")
        else:
            yield name, inner


def changes(before: Any, after: Any) -> list[str]:
    """Describe the differences between settings of the same kind.

    Args:
        before: earlier settings
        after: later settings

    Returns:
        Changes such as ``--optim.lr 0.002 -> 0.001``.
    """
    pairs = zip(settings_of(before), settings_of(after), strict=True)
    return [f"--{name} {old} -> {new}" for (name, old), (_, new) in pairs if old != new]


def override_words(settings: Mapping[str, Any]) -> list[str]:
    """Format settings as overrides.

    Args:
        settings: values by dotted name

    Returns:
        Overrides for :func:`read_recipe` and the command line.

    >>> override_words({"optim.lr": 3e-4, "quantizer.levels": [8, 5]})
    ['--optim.lr=0.0003', '--quantizer.levels=[8, 5]']
    """
    plain = {key: json.dumps(value) if isinstance(value, (dict, list)) else value for key, value in settings.items()}
    return [f"--{key}={value}" for key, value in plain.items()]


def write_recipe(path: Path, recipe: Recipe) -> None:
    """Write a recipe with all its settings, so that it stays the same when defaults change.

    Args:
        path: the file
        recipe: the recipe
    """
    write_text(path, format_recipe(recipe))


def format_recipe(recipe: Recipe) -> str:
    """Format a recipe with all its settings.

    Args:
        recipe: the recipe

    Returns:
        YAML.
    """
    return yaml.safe_dump(_plain(asdict(recipe)), sort_keys=False)


def opening_comment(path: Path) -> str:
    """Return the comment at the top of a recipe.

    Args:
        path: the file

    Returns:
        One line, empty without a comment.
    """
    lines = itertools.takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
    return " ".join(line.lstrip("# ") for line in lines)


def _plain(value: object) -> object:
    """Turn tuples into lists, since YAML has no tuples."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
