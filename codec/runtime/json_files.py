"""Read JSON from untrusted sources, and convert it to dataclasses whose types are checked."""

import dataclasses
import functools
import json
import types
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

MAX_NUMBER = 1e15
"""Larger numbers are refused; results that are computed from smaller ones are finite."""

Dataclass = TypeVar("Dataclass")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Args:
        path: the file, in UTF-8

    Returns:
        Its content.

    Raises:
        OSError: it cannot be read.
        ValueError: no JSON in UTF-8, or nested too deeply.
    """
    return parse_json(path.read_text(encoding="utf-8"))


def parse_json(text: str) -> Any:
    """Parse JSON.

    Args:
        text: the JSON text

    Returns:
        Its content.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def from_json(kind: type[Dataclass], content: Any) -> Dataclass:
    """Convert parsed JSON to a dataclass, and check the types.

    Args:
        kind: the dataclass; its fields may be dataclasses, lists, dictionaries, unions and literals
        content: a mapping with its fields. Fields with defaults may be missing; unknown keys are ignored.

    Returns:
        An instance of ``kind``.

    Raises:
        ValueError: a field without a default is missing, or a value is not of the field's type; numbers must be finite
            and below :data:`MAX_NUMBER`. The message names the field.
    """
    return _convert(kind, content, "")


def _convert(kind: Any, value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, name)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        for one in inner:
            try:
                return _convert(one, value, name)
            except ValueError:
                continue
    elif origin is Literal and value in inner:
        return value
    elif origin is list and isinstance(value, list):
        return [_convert(inner[0], one, f"{name}[{i}]") for i, one in enumerate(value)]
    elif origin is dict and isinstance(value, dict):
        return {key: _convert(inner[1], one, f"{name}.{key}") for key, one in value.items()}
    elif kind is Any or (kind is type(None) and value is None) or (kind is Path and isinstance(value, str)):
        return Path(value) if kind is Path else value
    elif kind in (int, float) and isinstance(value, int | float) and not isinstance(value, bool):
        if -MAX_NUMBER < value < MAX_NUMBER and (kind is float or isinstance(value, int)):
            return kind(value)
    elif kind in (str, bool) and isinstance(value, kind):
        return value
    raise ValueError(f"{name or 'the whole'} holds {_shortened(value)}, which does not belong there")


def _dataclass(kind: Any, value: Any, name: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{name or 'the whole'} holds {_shortened(value)}, which does not belong there")
    hints, found = _type_hints(kind), {}
    for field in dataclasses.fields(kind):
        inside = f"{name}.{field.name}" if name else field.name
        if field.name in value:
            found[field.name] = _convert(hints[field.name], value[field.name], inside)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"{inside} is missing")
    return kind(**found)


_type_hints = functools.cache(get_type_hints)
"""Resolving the annotations of a class takes longer than converting one of a million objects."""


def _shortened(value: Any) -> str:
    text = repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return text if len(text) <= 40 else f"{text[:37]}…"
