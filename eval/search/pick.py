"""``codec search pick``: the best candidate within limits, as a recipe or as the settings of a model."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from codec.bitstream.framing import PACKET_S
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
    """For an operating point: instructions for settings that the command does not have."""

    def text(self) -> str:
        """Return all of it for the screen.

        Returns:
            Settings, quality, and the next command.
        """
        settings = ", ".join(f"{name} {json.dumps(value)}" for name, value in single_settings(self.settings).items())
        notes = "".join(f"\n  {note}" for note in self.notes)
        quality = f"{metric(self.metric).label} {format_value(self.metric, self.quality)}"
        return (
            f"{', '.join(self.names)}: {settings}\n"
            f"{self.kbps:.2f} kbit/s, {quality} on the groups that did not select, encodes {self.encode:.0f} and"
            f" decodes {self.decode:.0f} times as fast as real time\n{self.next}{notes}"
        )


@dataclass(frozen=True)
class OperatingInstructions:
    """Instructions for using a model with certain settings."""

    command: str
    notes: list[str]
    """A line for each setting that the command does not take."""


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
    if recipe is not None:
        following = _write(recipe, record, best.settings)
    else:
        following = OperatingInstructions("to write it: repeat the command with --out recipe.yaml", [])
    assert best.reported is not None
    return PickedCandidate(
        key=best.key,
        names=best.names,
        settings=best.settings,
        metric=result.metric,
        quality=best.reported.mean,
        kbps=best.kbps,
        encode=best.encode,
        decode=best.decode,
        written=recipe,
        next=following.command,
        notes=following.notes,
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


def _write(path: Path, record: SearchRecord, settings: dict[str, Any]) -> OperatingInstructions:
    """Write a recipe, or the settings of a model, and return what to do with it."""
    plan = record.plan
    if plan["kind"] == "operating":
        write_text(path, yaml.safe_dump({"model": plan["model"], **settings}, sort_keys=False))
        found = describe_use(plan["model"], settings, plan["starts"][0])
        return OperatingInstructions(f"next: {found.command}", found.notes)
    design = SearchPlan(recipe=plan["recipe"], settings=plan["settings"])
    write_recipe(path, design.recipe_with(settings))
    command = command_line("codec", "train", path, "--data", record.data)
    return OperatingInstructions(f"next: {command} --run RUN", [])


def describe_use(model: str, settings: CandidateSettings, default: CandidateSettings) -> OperatingInstructions:
    """Describe how to use a model with operating settings.

    Args:
        model: name or folder of the model.
        settings: operating settings.
        default: the usual value of each setting; a setting with this value needs nothing.

    Returns:
        The command for files, and a note on each setting that it does not take.
    """
    changed = {name: value for name, value in settings.items() if value != default[name]}
    onnx = changed.get("runtime") == "onnx"
    taken = {name: changed[name] for name in ("kbps", "codebooks") if name in changed}
    if "kbps" in taken:
        taken.pop("codebooks", None)
    words = "".join(f" --{name} {value:g}" for name, value in taken.items())
    device = " --device onnx" if onnx else f" --threads {changed['threads']}" if "threads" in changed else ""
    export = f"codec export {model} --out model/ --onnx; " if onnx else ""
    used = "model/" if onnx else model
    notes = [
        f"{name} {value}: {note}"
        for name, value in changed.items()
        if (note := _describe_setting(name, value, changed))
    ]
    if device:
        notes.append(f"to decode: codec decode nac/ --out wav/ --model {used}{device}")
    return OperatingInstructions(f"{export}codec encode AUDIO --out nac/ --model {used}{words}{device}", notes)


def _describe_setting(name: str, value: object, changed: CandidateSettings) -> str:
    """Return how to apply a setting in Python; empty if the command takes it."""
    onnx = changed.get("runtime") == "onnx"
    if name == "codebooks" and "kbps" in changed:
        return "codec encode takes either --kbps or --codebooks, and the bit rate is the one that matters here"
    if name == "threads" and onnx:
        return f'in Python, codec.load("model/", device="onnx", threads={value})'
    if name == "runtime" and not onnx:
        return "in Python, call model.encoder.compile() and model.decoder.compile() on codec.load(…).model"
    return {
        "precision": f'of the decoder, in Python: codec.load(…, dtype="{value}")',
        "block": f"of streams, in Python: stream_encoder(block={value}) and stream_decoder(block={value})",
        "entropy": "not available in files, which are coded with the model's tables and contexts"
        + ("; pipes (codec encode -) have codes of fixed width" if value == "none" else ""),
        "packet_s": f"not available in files, whose packets last {PACKET_S:g} s",
    }.get(name, "")
