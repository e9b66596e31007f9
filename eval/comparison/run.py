"""``codec compare``: trains several codecs on the same packed data with our loop, and judges them on validation."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from codec.config import Recipe
from codec.dataset.ledger import count_candidates
from codec.dataset.packed import open_split
from codec.errors import UserError
from codec.losses import CompositeLoss
from codec.pretrained.checkpoint import load_weights
from codec.recipe import read_recipe
from codec.runtime.atomic_files import make_folder, write_text
from codec.runtime.command import running_command
from codec.runtime.json_files import from_json, read_json
from codec.training.module import CodecBuilder
from codec.training.run_folder import RESULT_FILE, TrainingResult
from codec.training.trainer import TrainingOptions, train
from eval.comparison.budget import Budget
from eval.comparison.figure import draw_curves
from eval.comparison.plan import Plan, Trial, identity, read_plan, trials, within_budget
from eval.comparison.results import Compared, Comparison, Run, markdown, rate_rows
from eval.evaluation.candidate_scoring import METRICS, ScoringOptions, score_candidate
from eval.evaluation.codec_scores import CodecScores, read_scores, write_scores
from eval.metrics.registry import metric
from eval.systems.complexity import Complexity, matching_width, measure_complexity
from eval.systems.trainable_peers import PEERS, codec_builder

NOTE, SCORES = "candidate.json", "validation.json"


@dataclass(frozen=True)
class _Work:
    """A trial in its folder. ``identity``: what the run there must be."""

    trial: Trial
    build: CodecBuilder
    width: int
    cost: Complexity
    folder: Path
    identity: dict[str, Any]

    @property
    def finished(self) -> bool:
        return (self.folder / RESULT_FILE).is_file()


def compare(
    name: str,
    data: Path,
    out: Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    seeds: list[int] | None = None,
    only: Sequence[str] = (),
) -> Comparison:
    """Trains the candidates of the plan ``name``, or of them those in ``only``, into ``out/runs``, and tabulates all
    that are finished there: ``out/comparison.json``, ``comparison.md`` and ``curves.png``.

    A candidate whose training ends in an error is listed with it, and the others go on. What is finished is kept; the
    same call goes on where it was interrupted.

    Raises:
        UserError: whatever is wrong with plan, data or ``out``.
    """
    plan = read_plan(name, minutes=minutes, steps=steps, seeds=seeds)
    if unknown := [key for key in only if key not in plan.candidates]:
        raise UserError(f"no candidate called {', '.join(unknown)}; there are {', '.join(plan.candidates)}")
    planned = trials(plan, {key: peer.width for key, peer in PEERS.items()})
    for rate, channels in dict.fromkeys((t.recipe.codec.sample_rate, t.recipe.data.channels) for t in planned):
        for split in ("train", "val"):
            open_split(data, split, rate, channels)  # type: ignore[arg-type]
    missing = {key: PEERS[key].install for key in PEERS if PEERS[key].absent}
    work = _prepare(plan, [trial for trial in planned if trial.architecture not in missing], data, out)
    failed: dict[str, str] = {}
    chosen = [entry for entry in work if not only or entry.trial.candidate in only]
    for number, entry in enumerate(chosen, 1):
        print(f"{number}/{len(chosen)}  {entry.trial.name}: {plan.budget}, {entry.cost.gmacs:.3f} GMAC/s", flush=True)
        try:
            _train(entry, plan, data)
        except UserError as error:
            failed[entry.trial.name] = f"failed: {error}"
            print(f"{entry.trial.name} failed: {error}", flush=True)
    compared = [_compared(key, plan, planned, work, missing, failed, data) for key in plan.candidates]
    found = _comparison(plan, compared, data, _command(name, data, out, minutes, steps, seeds, only), bool(failed))
    _write(found, out)
    return found


def _prepare(plan: Plan, planned: list[Trial], data: Path, out: Path) -> list[_Work]:
    """Widths, costs and folders; a folder that holds another run is refused before anything is trained."""
    costs: dict[tuple[Any, ...], Complexity] = {}

    def cost_of(trial: Trial, width: int) -> Complexity:
        key = trial.architecture, width, trial.quantizer, trial.recipe.codec
        if key not in costs:
            costs[key] = measure_complexity(
                codec_builder(trial.architecture, width, trial.quantizer), trial.recipe.codec
            )
        return costs[key]

    first = next(iter(plan.candidates))
    work: list[_Work] = []
    for trial in planned:
        CompositeLoss(
            trial.recipe.losses, trial.recipe.codec.sample_rate, trial.recipe.codec.hop
        )  # refuses unknown ones
        if trial.width == "match":
            reference = next((entry.cost for entry in work if entry.trial.candidate == first), None)
            if reference is None:
                raise UserError(f"{trial.candidate}: there is no first candidate whose multiply-adds it could match")
            width = matching_width(trial.architecture, trial.quantizer, trial.recipe.codec, reference.gmacs)
        else:
            width = trial.width
        folder = out / "runs" / trial.name
        wanted = json.loads(json.dumps(identity(trial, plan, width, data)))
        entry = _Work(
            trial,
            codec_builder(trial.architecture, width, trial.quantizer),
            width,
            cost_of(trial, width),
            folder,
            wanted,
        )
        if (folder / NOTE).is_file() and (changed := _changed(folder / NOTE, wanted)):
            raise UserError(
                f"{folder}: holds a run with another {changed}; choose another --out, or delete that folder"
            )
        work.append(entry)
    return work


def _changed(note: Path, wanted: dict[str, Any]) -> str:
    """The first thing in which the run there differs from the one wanted."""
    try:
        before = read_json(note)
        return next((key for key in wanted if before.get(key) != wanted[key]), "")
    except (ValueError, AttributeError):
        raise UserError(f"{note}: damaged; delete the folder {note.parent} to train it again") from None


def _train(entry: _Work, plan: Plan, data: Path) -> None:
    if entry.finished:
        return
    if (entry.folder / "recipe.yaml").is_file():
        recipe = read_recipe(str(entry.folder / "recipe.yaml"))
    else:
        expected = Budget(plan.minutes, plan.steps).expected_steps(entry.trial.recipe, data, entry.build)
        recipe = within_budget(entry.trial, plan, expected)
    make_folder(entry.folder)
    write_text(entry.folder / NOTE, json.dumps(entry.identity, indent=1) + "\n")
    options = TrainingOptions(build=entry.build, keep_audio_samples=False)
    train(recipe, data, entry.folder, quiet=True, options=options)


def _compared(
    key: str,
    plan: Plan,
    planned: list[Trial],
    work: list[_Work],
    missing: dict[str, str],
    failed: dict[str, str],
    data: Path,
) -> Compared:
    mine = [trial for trial in planned if trial.candidate == key]
    losses = sorted(name for name, weight in mine[0].recipe.losses.items() if weight)
    architecture = mine[0].architecture
    if architecture in missing:
        state = f"absent: {architecture} is not installed; {missing[architecture]}"
        return Compared(key, architecture, None, None, None, losses, state, [])
    entries = [entry for entry in work if entry.trial.candidate == key]
    runs = [_run(entry, plan, data) for entry in entries if entry.finished]
    open_ends = [
        f"seed {entry.trial.seed} {failed.get(entry.trial.name, 'is not trained yet')}"
        for entry in entries
        if not entry.finished
    ]
    width, quantizer = (None, None) if architecture == "ours" else (entries[0].width, mine[0].quantizer)
    return Compared(key, architecture, width, quantizer, entries[0].cost, losses, "; ".join(open_ends), runs)


def _run(entry: _Work, plan: Plan, data: Path) -> Run:
    result = from_json(TrainingResult, read_json(entry.folder / RESULT_FILE))
    recipe = entry.trial.recipe
    crop_s = max(1, round(recipe.data.crop_s * recipe.codec.frame_rate_hz)) / recipe.codec.frame_rate_hz
    return Run(
        folder=entry.folder,
        seed=entry.trial.seed,
        steps=result.steps,
        audio_s=result.steps * recipe.data.batch_size * crop_s,
        minutes=result.minutes,
        stopped=result.stopped,
        best_step=result.best_step,
        judged=_judged(entry, recipe, plan, data),
    )


def _judged(entry: _Work, recipe: Recipe, plan: Plan, data: Path) -> list[CodecScores]:
    asked = {"kbps": plan.kbps, "clips": plan.clips, "metrics": [name for name in METRICS if not metric(name).absent]}
    found = read_scores(entry.folder / SCORES, asked)
    if found is None:
        codec = entry.build(recipe.codec)
        load_weights(entry.folder / "model", codec)
        options = ScoringOptions(plan.kbps, plan.clips)
        found = score_candidate(codec, data, recipe.data.channels, options, entry.trial.name)
        write_scores(entry.folder / SCORES, found, asked)
    return found


def _comparison(plan: Plan, compared: list[Compared], data: Path, command: str, failed: bool) -> Comparison:
    judged = next((entry.runs[0].judged[0].clips for entry in compared if entry.runs), [])
    return Comparison(
        title=plan.title or "Comparison",
        command=command,
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        budget=plan.budget,
        data=str(data),
        clips=len(judged),
        groups=len({clip.group for clip in judged}),
        candidates_on_validation=count_candidates(data),
        candidates=compared,
        rates=rate_rows(compared, plan.kbps),
        absent_metrics={name: metric(name).missing for name in METRICS if metric(name).absent},
        failed=failed,
    )


def _command(
    name: str,
    data: Path,
    out: Path,
    minutes: float | None,
    steps: int | None,
    seeds: list[int] | None,
    only: Sequence[str],
) -> str:
    words = ["codec", "compare", name, "--data", data, "--out", out]
    words += [] if minutes is None else ["--minutes", f"{minutes:g}"]
    words += [] if steps is None else ["--steps", str(steps)]
    words += [] if seeds is None else ["--seeds", *map(str, seeds)]
    words += ["--only", *only] if only else []
    return running_command(*words)


def _write(found: Comparison, out: Path) -> None:
    make_folder(out)
    part = out / "curves.part"
    try:
        write_text(out / "comparison.json", json.dumps(found.to_dict(), indent=1, default=str) + "\n")
        draw_curves(found, part)
        os.replace(part, out / "curves.png")
        write_text(out / "comparison.md", markdown(found) + "\n![curves](curves.png)\n")
    except OSError as error:
        raise UserError(f"{out}: cannot write the comparison ({error.strerror or error})") from error
