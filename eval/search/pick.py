"""``codec search pick``: the best of what a search found, within limits, as a recipe, or as the settings of a model."""

import json
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
from eval.search.publish import JSON
from eval.search.results import SearchResult
from eval.search.scheduler import SearchRecord, read_search
from eval.search.settings_for_use import Usage, usage


@dataclass(frozen=True)
class Picked:
    """``quality``: on the half of the clips that reports. Speeds are times real time, on one thread or as many as the
    settings say."""

    key: str
    names: list[str]
    settings: dict[str, Any]
    metric: str
    quality: float
    kbps: float
    encode: float
    decode: float
    written: Path | None
    next: str
    notes: list[str]
    """Of an operating point: what to do about the settings that the next command does not take."""

    def text(self) -> str:
        settings = ", ".join(f"{name} {json.dumps(value)}" for name, value in self.settings.items())
        notes = "".join(f"\n  {note}" for note in self.notes)
        return (
            f"{', '.join(self.names)}: {settings}\n"
            f"{self.kbps:.2f} kbit/s, {metric(self.metric).label} {format_value(self.metric, self.quality)} on clips"
            f" that did not choose, {self.encode:.0f} and {self.decode:.0f} x real time\n{self.next}{notes}"
        )


def pick(
    out: Path, *, max_kbps: float | None = None, min_speed: float | None = None, recipe: Path | None = None
) -> Picked:
    """The candidate on the front with the best quality at no more than ``max_kbps`` (real bits) and no less than
    ``min_speed`` (times real time, the slower of encoding and decoding); written to ``recipe``.

    What decides is the half of the clips that chose all along.

    Raises:
        UserError: no search, nothing on its front yet, nothing within the limits.
    """
    record = read_search(out)
    try:
        found = from_json(SearchResult, read_json(out / JSON))
    except FileNotFoundError:
        raise UserError(f"{out}: nothing is judged yet; let codec search run go on") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{out / JSON}: damaged ({error}); run codec search again") from error
    rows = [row for row in found.rows if row.front and row.reported is not None]
    if not rows:
        raise UserError(f"{out}: nothing is on the front yet; let codec search run go on")
    within = [
        row
        for row in rows
        if (max_kbps is None or row.kbps <= max_kbps)
        and (min_speed is None or min(row.encode, row.decode) >= min_speed)
    ]
    if not within:
        least, most = min(row.kbps for row in rows), max(min(row.encode, row.decode) for row in rows)
        raise UserError(
            f"nothing on the front is within these limits: it begins at {least:.2f} kbps, and ends at {most:.0f} x real"
            " time"
        )
    best = max(within, key=lambda row: metric(found.metric).sign * row.selected)
    assert best.reported is not None
    if recipe is not None:
        following = _write(recipe, record, best.settings)
    else:
        following = Usage("write it with --out recipe.yaml", [])
    return Picked(
        best.key, best.names, best.settings, found.metric, best.reported.mean, best.kbps,
        best.encode, best.decode, recipe, following.command, following.notes,
    )  # fmt: skip


def _write(path: Path, record: SearchRecord, settings: dict[str, Any]) -> Usage:
    """A recipe, or how to use the model; returns what to do with it."""
    plan = record.plan
    if plan["kind"] == "operating":
        use = {"model": plan["model"], **settings}
        write_text(path, yaml.safe_dump(use, sort_keys=False))
        found = usage(plan["model"], settings, plan["starts"][0])
        return Usage(f"next: {found.command}", found.notes)
    design = SearchPlan(recipe=plan["recipe"], settings=plan["settings"])
    write_recipe(path, design.recipe_with(settings))
    return Usage(f"next: {command_line('codec', 'train', path, '--data', record.data)} --run RUN", [])
