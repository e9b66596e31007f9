"""``codec search pick``: the best candidate within limits, as a recipe or as the settings of a model."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from codec.errors import UserError
from codec.recipe import write_recipe
from codec.runtime.atomic_files import write_text
from codec.runtime.command import command_line
from codec.runtime.json_files import from_json, read_json
from eval.evaluation.formatting import format_value
from eval.metrics.registry import metric
from eval.search.plan import SearchPlan
from eval.search.report import FRONT_JSON
from eval.search.results import CandidateRow, SearchResult
from eval.search.space import CandidateSettings, single_settings
from eval.search.store import SearchRecord, read_search_record


@dataclass(frozen=True)
class PickedCandidate:
    """The picked candidate and instructions for its use."""

    key: str
    name: str
    """What it is: the settings in which it differs from the default."""
    names: list[str]
    settings: dict[str, Any]
    metric: str
    quality: float
    """Mean on the groups that report."""
    kbps: float
    encode: float
    """Times real time, on one thread or as many as the settings state."""
    decode: float
    written: Path | None
    next: str
    """The next command."""
    notes: list[str]
    """What must be done before it."""

    def text(self) -> str:
        """Return all of it for the screen.

        Returns:
            Settings, quality, and the next command.
        """
        settings = ", ".join(f"{name} {json.dumps(value)}" for name, value in single_settings(self.settings).items())
        quality = f"{metric(self.metric).label} {format_value(self.metric, self.quality)}"
        notes = "".join(f"\n{note}" for note in self.notes)
        return (
            f"{self.name} ({settings})\n"
            f"{self.kbps:.2f} kbit/s, {quality} on the groups that did not select, encodes {self.encode:.0f} and"
            f" decodes {self.decode:.0f} times as fast as real time{notes}\nnext: {self.next}"
        )


def pick_candidate(
    out: Path, *, max_kbps: float | None = None, min_speed: float | None = None, recipe: Path | None = None
) -> PickedCandidate:
    """Pick the candidate on the front with the best quality within limits.

    The best is chosen on the groups that select, as in the search.

    Args:
        out: folder of the search.
        max_kbps: maximum real bit rate in kbit/s.
        min_speed: minimum speed of the slower of encoding and decoding, in times real time.
        recipe: file to write the recipe to, or the settings of the model.

    Returns:
        The candidate.

    Raises:
        UserError: there is no search, nothing on its front yet, or nothing within the limits.
    """
    record = read_search_record(out)
    result = _read_result(out)
    rows = [row for row in result.rows if row.front and row.reported is not None]
    if not rows:
        raise UserError(f"{out}: nothing is on the front yet; let codec search run continue")
    best = _pick_best(rows, metric(result.metric).sign, max_kbps, min_speed)
    following, notes = (
        ("the same command with --out best.yaml, which writes it", list[str]())
        if recipe is None
        else _write(recipe, record, best.settings)
    )
    assert best.reported is not None
    return PickedCandidate(
        key=best.key,
        name=best.label,
        names=best.names,
        settings=best.settings,
        metric=result.metric,
        quality=best.reported.mean,
        kbps=best.kbps,
        encode=best.encode,
        decode=best.decode,
        written=recipe,
        next=following,
        notes=notes,
    )


def _read_result(out: Path) -> SearchResult:
    try:
        return from_json(SearchResult, read_json(out / FRONT_JSON))
    except FileNotFoundError:
        raise UserError(f"{out}: no candidate has been scored yet; let codec search run continue") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{out / FRONT_JSON}: damaged ({error}); run codec search run again") from error


def _pick_best(
    rows: Sequence[CandidateRow], sign: int, max_kbps: float | None, min_speed: float | None
) -> CandidateRow:
    def speed(row: CandidateRow) -> float:
        return min(row.encode, row.decode)

    within = [
        row
        for row in rows
        if (max_kbps is None or row.kbps <= max_kbps) and (min_speed is None or speed(row) >= min_speed)
    ]
    if not within:
        raise UserError(
            f"nothing on the front is within these limits; its lowest bit rate is {min(row.kbps for row in rows):.2f}"
            f" kbps and its highest speed {max(speed(row) for row in rows):.0f} times real time"
        )
    return max(within, key=lambda row: sign * row.selected)


def _write(path: Path, record: SearchRecord, settings: dict[str, Any]) -> tuple[str, list[str]]:
    """Write a recipe, or the settings of a model, and return the commands that use it."""
    plan = record.plan
    if plan["kind"] == "operating":
        model = plan["model"]
        known = str(Path(model).resolve()) if Path(model).is_dir() else model
        write_text(path, yaml.safe_dump({"model": known, **settings}, sort_keys=False))
        return describe_use(path, model, settings)
    design = SearchPlan(recipe=plan["recipe"], settings=plan["settings"])
    write_recipe(path, design.recipe_with(settings))
    return f"{command_line('codec', 'train', path, '--data', record.data)} --run RUN", []


def describe_use(path: Path, model: str, settings: CandidateSettings) -> tuple[str, list[str]]:
    """Describe how to use a model with the settings in a file.

    Args:
        path: the file.
        model: name or folder of the model.
        settings: its operating settings.

    Returns:
        The command, and what must be done before it.
    """
    if settings.get("entropy") == "none":
        return f"{command_line('codec', 'encode', '-', '--use', path)} < AUDIO > STREAM", []
    used, notes = [], []
    if settings.get("runtime") == "onnx":
        notes = [f"first: {command_line('codec', 'export', model, '--out', 'model/', '--onnx')}"]
        used = ["--model", "model/"]
    coding = [
        command_line("codec", "encode", "AUDIO", "--out", "nac/", "--use", path, *used),
        command_line("codec", "decode", "nac/", "--out", "wav/", "--use", path, *used),
    ]
    return "; ".join(coding), notes
