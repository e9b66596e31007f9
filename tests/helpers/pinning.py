"""What the tests of pins share: where pins lie, what they are made from, and how names are compared."""

import contextlib
import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec.cli import main

PINS = Path(__file__).parents[1] / "pins"
RATE = 16000
SMALLEST = ["--codec.hop=40", "--codec.encoder.width=8", "--codec.decoder.width=8"]
"""Overrides in addition to ``tests.helpers.tiny.TINY``, so that models are small enough to be stored."""


def waveform(seconds: float = 3.0) -> np.ndarray:
    """Return a voiced sound with a moving pitch, a moving formant and pauses, float32 ``[samples]``."""
    time = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * time)) / RATE
    harmonics = sum(
        np.sin(k * phase) * np.exp(-(((k * 120 - 900 - 500 * np.sin(2 * np.pi * 0.4 * time)) / 700) ** 2)) / (1 + k / 9)
        for k in range(1, 40)
    )
    loud = 0.12 * (np.sin(2 * np.pi * 1.5 * time) > -0.6) * (1 + 0.5 * np.sin(2 * np.pi * 3.1 * time))
    return (harmonics * loud).astype(np.float32)


def stored(name: str) -> dict:
    """Return the content of a JSON file of pins."""
    return json.loads((PINS / name).read_text(encoding="utf-8"))


def store(name: str, content: dict) -> None:
    """Write a JSON file of pins, an entry a line."""
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
    (PINS / name).write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


def ran(*words: object) -> str:
    """Run a command that must succeed, and return what it prints."""
    with contextlib.redirect_stdout(io.StringIO()) as output, pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert ended.value.code == 0, words
    return output.getvalue()


def printed(*words: object) -> Any:
    """Run a command that must succeed, and return the JSON that it prints."""
    out = ran(*words, "--json")
    assert out.startswith(("{", "[")), words
    return json.loads(out)


def losses(run: Path, terms: set[str]) -> list[list[str]]:
    """Return step, split, term and value of some losses in the curves of a run."""
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return [
            [row["step"], row["split"], row["term"], row["value"]]
            for row in csv.DictReader(file)
            if row["term"] in terms
        ]


def assert_same_losses(found: list[list[str]], expected: list[list[str]]) -> None:
    """Compare losses as :func:`losses` returns them, with the tolerance that other machines need."""
    assert [row[:3] for row in found] == [row[:3] for row in expected]
    assert [float(row[3]) for row in found] == pytest.approx([float(row[3]) for row in expected], rel=1e-4)


def keys(value: object) -> Any:
    """Return the names in nested JSON, of a list those of its first element."""
    if isinstance(value, dict):
        return {name: keys(item) for name, item in value.items() if name != "tags"}
    return [keys(value[0])] if isinstance(value, list) and value else None


def files(folder: Path) -> dict[str, object]:
    """Return the names of the files below a folder, digits and digests as ``*``, with the names that are in them.

    These are the keys of JSON, those of all lines together of JSON lines, and the columns of CSV.
    """
    found: dict[str, object] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        place = path.relative_to(folder)
        if any(part.startswith(".") or part == "locks" for part in place.parts):
            continue
        name = re.sub(r"(events\.out\.tfevents)\..*|(?=[a-f]*\d)[0-9a-f]{6,}|\d+", r"\1*", place.as_posix())
        found.setdefault(name, _names(path))
    return found


def _names(path: Path) -> object:
    text = path.read_text(encoding="utf-8") if path.suffix in (".json", ".jsonl", ".csv") else ""
    if path.suffix == ".json":
        return keys(json.loads(text))
    if path.suffix == ".jsonl":
        together: dict[str, object] = {}
        for line in map(json.loads, text.splitlines()):
            together |= {name: item for name, item in keys(line).items() if item or name not in together}
        return together
    return next(csv.reader([text.partition("\n")[0]])) if path.suffix == ".csv" else None


def lost(old: object, new: object, place: str = "") -> list[str]:
    """Return where a name in ``old`` is missing in ``new``; of columns, also where they are not the first in order."""
    if isinstance(old, dict):
        there = new if isinstance(new, dict) else {}
        gone = [f"{place}/{name}" for name in old if name not in there]
        return gone + [
            line for name in old if name in there for line in lost(old[name], there[name], f"{place}/{name}")
        ]
    if isinstance(old, list) and old and isinstance(old[0], str):
        return [] if isinstance(new, list) and new[: len(old)] == old else [f"{place}: {old}"]
    if isinstance(old, list) and old:
        return lost(old[0], new[0] if isinstance(new, list) and new else None, f"{place}[]")
    return []
