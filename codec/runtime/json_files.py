"""JSON that someone else may have written: read without surprises, and turned into dataclasses whose types hold."""

import dataclasses
import json
import types
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

LARGEST = 1e15
"""No figure of ours is as large; whatever is computed from such numbers is finite."""

Kind = TypeVar("Kind")


def read_json(path: Path) -> Any:
    """What a file holds.

    Raises:
        OSError: it cannot be read.
        ValueError: no JSON in UTF-8, or nested too deeply.
    """
    return parse_json(path.read_text(encoding="utf-8"))


def parse_json(text: str) -> Any:
    """What the text says. Raises ``ValueError`` where it is no JSON, or is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def from_json(kind: type[Kind], content: Any) -> Kind:
    """The dataclass ``kind`` with the values of a mapping; fields that are not in it keep their defaults, and what is
    no field is passed over.

    Raises:
        ValueError: a field without a default is missing, or a value is not of the field's type; numbers must be finite
            and below :data:`LARGEST`. The message names the field.
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
        if -LARGEST < value < LARGEST and (kind is float or isinstance(value, int)):
            return kind(value)
    elif kind in (str, bool) and isinstance(value, kind):
        return value
    raise ValueError(f"{name or 'the whole'} holds {_shortened(value)}, which does not belong there")


def _dataclass(kind: Any, value: Any, name: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{name or 'the whole'} holds {_shortened(value)}, which does not belong there")
    hints, found = get_type_hints(kind), {}
    for field in dataclasses.fields(kind):
        inside = f"{name}.{field.name}" if name else field.name
        if field.name in value:
            found[field.name] = _convert(hints[field.name], value[field.name], inside)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"{inside} is missing")
    return kind(**found)


def _shortened(value: Any) -> str:
    text = repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return text if len(text) <= 40 else f"{text[:37]}…"
