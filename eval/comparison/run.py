"""``codec compare``: several codecs, trained on the same packed data with our loop and scored on validation clips."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from codec.config import CodecConfig, Recipe
from codec.dataset.ledger import count_candidates
from codec.dataset.location import DataLocation, open_split
from codec.errors import UserError
from codec.losses import CompositeLoss
from codec.pretrained.checkpoint import load_codec, load_weights
from codec.recipe import read_recipe
from codec.runtime.atomic_files import make_folder, replacing, write_text
from codec.runtime.command import running_command
from codec.runtime.json_files import from_json, read_json
from codec.runtime.messages import say, warn
from codec.runtime.process_layout import find_layout
from codec.training.module import CodecBuilder
from codec.training.run_folder import RESULT_FILE, TrainingResult
from codec.training.trainer import TrainingOptions, train
from eval.comparison.chart import write_curves
from eval.comparison.plan import (
    ComparisonPlan,
    PlannedRun,
    PlanOverrides,
    describe_run,
    limit_to_budget,
    plan_runs,
    read_comparison_plan,
)
from eval.comparison.report import comparison_markdown
from eval.comparison.results import CandidateResult, ComparisonResult, TrainedRun, compare_rates, list_bounds
from eval.evaluation.candidate_scoring import COMPARISON_METRICS, ScoringOptions, score_bounds, score_candidate
from eval.evaluation.codec_scores import CodecScores, read_scores, write_scores
from eval.metrics.registry import metric
from eval.systems.complexity import Complexity, matching_width, measure_complexity
from eval.systems.trainable_peers import PEERS, codec_builder

_DESCRIPTION, _SCORES, _BOUNDS = "candidate.json", "validation.json", "bounds.json"


@dataclass(frozen=True)
class _Job:
    """A planned run in its folder."""

    run: PlannedRun
    build: CodecBuilder
    width: int
    cost: Complexity
    folder: Path
    description: dict[str, Any]
    """See :func:`~eval.comparison.plan.describe_run`."""

    @property
    def finished(self) -> bool:
        return (self.folder / RESULT_FILE).is_file()


def compare(name: str, data: DataLocation, out: Path, overrides: PlanOverrides | None = None) -> ComparisonResult:
    """Train the candidates of a plan and tabulate all that are finished.

    Runs are written to ``out/runs``, results to ``out/comparison.json``, ``comparison.md`` and ``curves.png``. A
    candidate whose training ends in an error is listed with it, and the others go on. Finished runs are not
    repeated; the same call continues after an interruption.

    Args:
        name: name or path of the plan.
        data: folder that ``codec prepare`` wrote, or another place, see :func:`codec.dataset.location.open_split`.
        out: folder to write to.
        overrides: changes to the plan.

    Returns:
        All results.

    Raises:
        UserError: plan, data or ``out`` cannot be used, or this is one of several processes.
    """
    if (layout := find_layout()) is not None:
        raise UserError(
            f"a comparison is made by one process, and torchrun or srun has started {layout.count}; start one"
        )
    overrides = overrides or PlanOverrides()
    plan = read_comparison_plan(name, overrides)
    if unknown := [key for key in overrides.only if key not in plan.candidates]:
        raise UserError(f"no candidate called {', '.join(unknown)}; choose from {', '.join(plan.candidates)}")
    runs = plan_runs(plan, {key: peer.width for key, peer in PEERS.items()})
    for rate, channels in dict.fromkeys((run.recipe.codec.sample_rate, run.recipe.data.channels) for run in runs):
        for split in ("train", "val"):
            open_split(data, split, rate, channels)  # type: ignore[arg-type]
    missing = {key: PEERS[key].install for key in PEERS if PEERS[key].absent}
    jobs = _prepare_jobs(plan, [run for run in runs if run.architecture not in missing], data, out)
    failed = _train_all([job for job in jobs if not overrides.only or job.run.candidate in overrides.only], plan, data)
    candidates = []
    for key in plan.candidates:
        first = next(run for run in runs if run.candidate == key)
        mine = [job for job in jobs if job.run.candidate == key]
        if first.architecture in missing:
            candidates.append(_absent_candidate(first, missing[first.architecture]))
        else:
            candidates.append(_summarise_candidate(mine, failed, plan, data))
    command = running_command("codec", "compare", name, "--data", data, "--out", out, *overrides.words())
    result = _summarise(plan, candidates, data, command, bool(failed))
    _write(result, out)
    return result


def _prepare_jobs(plan: ComparisonPlan, runs: Sequence[PlannedRun], data: DataLocation, out: Path) -> list[_Job]:
    """Find widths, costs and folders. A folder that holds another run is an error before anything is trained."""
    costs: dict[tuple[Any, ...], Complexity] = {}

    def count_cost(architecture: str, width: int, quantizer: str, config: CodecConfig) -> Complexity:
        key = architecture, width, quantizer, config
        if key not in costs:
            costs[key] = measure_complexity(codec_builder(architecture, width, quantizer), config)
        return costs[key]

    jobs: list[_Job] = []
    for run in runs:
        config = run.recipe.codec
        CompositeLoss(run.recipe.losses, config.sample_rate, config.hop)  # raises an error for unknown losses
        width = _match_width(run, plan, jobs) if run.width == "match" else run.width
        folder = out / "runs" / run.name
        description = json.loads(json.dumps(describe_run(run, plan, width, data)))
        if (folder / _DESCRIPTION).is_file() and (changed := _find_change(folder / _DESCRIPTION, description)):
            raise UserError(
                f"{folder}: holds a run with another {changed}; choose another --out, or delete that folder"
            )
        build = codec_builder(run.architecture, width, run.quantizer)
        run_cost = count_cost(run.architecture, width, run.quantizer, config)
        jobs.append(_Job(run, build, width, run_cost, folder, description))
    return jobs


def _match_width(run: PlannedRun, plan: ComparisonPlan, jobs: Sequence[_Job]) -> int:
    """Return the width at which a peer needs as many multiply-adds as the first candidate."""
    first = next(iter(plan.candidates))
    reference = next((job.cost for job in jobs if job.run.candidate == first), None)
    if reference is None:
        raise UserError(f"{run.candidate}: there is no first candidate whose multiply-adds it could match")
    return matching_width(run.architecture, run.quantizer, run.recipe.codec, reference.gmacs)


def _find_change(path: Path, description: Mapping[str, Any]) -> str:
    """Return the first key in which the run in a folder differs from the one wanted; empty if there is none."""
    try:
        before = read_json(path)
        return next((key for key in description if before.get(key) != description[key]), "")
    except (ValueError, AttributeError):
        raise UserError(f"{path}: damaged; delete the folder {path.parent} to train it again") from None


def _train_all(jobs: Sequence[_Job], plan: ComparisonPlan, data: DataLocation) -> dict[str, str]:
    """Train the runs that are not finished, and return the errors by name of the run."""
    failed: dict[str, str] = {}
    for number, job in enumerate(jobs, 1):
        say(f"{number}/{len(jobs)}  {job.run.name}: {plan.budget}, {job.cost.gmacs:.3f} GMAC/s")
        try:
            if not job.finished:
                _train(job, plan, data)
        except UserError as error:
            failed[job.run.name] = f"failed: {error}"
            warn(f"{job.run.name} failed: {error}")
    return failed


def _train(job: _Job, plan: ComparisonPlan, data: DataLocation) -> None:
    if (job.folder / "recipe.yaml").is_file():
        recipe = read_recipe(str(job.folder / "recipe.yaml"))
    else:
        recipe = limit_to_budget(job.run, plan, plan.budget.expected_steps(job.run.recipe, data, job.build))
    make_folder(job.folder)
    write_text(job.folder / _DESCRIPTION, json.dumps(job.description, indent=1) + "\n")
    options = TrainingOptions(build=job.build, keep_audio_samples=False)
    train(recipe, data, job.folder, quiet=True, options=options)


def _find_losses(run: PlannedRun) -> list[str]:
    return sorted(name for name, weight in run.recipe.losses.items() if weight)


def _absent_candidate(run: PlannedRun, install: str) -> CandidateResult:
    state = f"absent: {run.architecture} is not installed; {install}"
    return CandidateResult(run.candidate, run.architecture, None, None, None, _find_losses(run), state, [])


def _summarise_candidate(
    jobs: Sequence[_Job], failed: Mapping[str, str], plan: ComparisonPlan, data: DataLocation
) -> CandidateResult:
    first, run = jobs[0], jobs[0].run
    missing = [
        f"seed {job.run.seed} {failed.get(job.run.name, 'is not trained yet')}" for job in jobs if not job.finished
    ]
    ours = run.architecture == "ours"
    return CandidateResult(
        name=run.candidate,
        architecture=run.architecture,
        width=None if ours else first.width,
        quantizer=None if ours else run.quantizer,
        cost=first.cost,
        losses=_find_losses(run),
        state="; ".join(missing),
        runs=[_read_run(job, plan, data) for job in jobs if job.finished],
    )


def _read_run(job: _Job, plan: ComparisonPlan, data: DataLocation) -> TrainedRun:
    result = from_json(TrainingResult, read_json(job.folder / RESULT_FILE))
    recipe = job.run.recipe
    frame_rate_hz = recipe.codec.frame_rate_hz
    crop_s = max(1, round(recipe.data.crop_s * frame_rate_hz)) / frame_rate_hz
    return TrainedRun(
        folder=job.folder,
        seed=job.run.seed,
        steps=result.steps,
        audio_s=result.steps * recipe.data.batch_size * crop_s,
        minutes=result.minutes,
        stopped=result.stopped,
        best_step=result.best_step,
        judged=_score(job, recipe, plan, data),
        bounds=_score_bounds(job, recipe, plan, data) if job.run.architecture == "ours" else [],
    )


def _score(job: _Job, recipe: Recipe, plan: ComparisonPlan, data: DataLocation) -> list[CodecScores]:
    """Return the stored scores of a run, or score it and store them."""
    installed = [name for name in COMPARISON_METRICS if not metric(name).absent]
    request = {"kbps": plan.kbps, "clips": plan.clips, "metrics": installed}
    scores = read_scores(job.folder / _SCORES, request)
    if scores is None:
        codec = job.build(recipe.codec)
        load_weights(job.folder / "model", codec)
        scores = score_candidate(codec, data, recipe.data.channels, ScoringOptions(plan.kbps, plan.clips), job.run.name)
        write_scores(job.folder / _SCORES, scores, request)
    return scores


def _score_bounds(job: _Job, recipe: Recipe, plan: ComparisonPlan, data: DataLocation) -> list[CodecScores]:
    """Return the stored scores at the bounds of a run of our architecture, or score it and store them."""
    installed = [name for name in COMPARISON_METRICS if not metric(name).absent]
    request = {"clips": plan.clips, "metrics": installed}
    scores = read_scores(job.folder / _BOUNDS, request)
    if scores is None:
        codec = load_codec(job.folder)
        scores = score_bounds(codec, data, recipe.data.channels, ScoringOptions((), plan.clips), job.run.name)
        write_scores(job.folder / _BOUNDS, scores, request)
    return scores


def _summarise(
    plan: ComparisonPlan, candidates: list[CandidateResult], data: DataLocation, command: str, failed: bool
) -> ComparisonResult:
    clips = next((candidate.runs[0].judged[0].clips for candidate in candidates if candidate.runs), [])
    return ComparisonResult(
        title=plan.title or "Comparison",
        command=command,
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        budget=str(plan.budget),
        data=str(data),
        clips=len(clips),
        groups=len({clip.group for clip in clips}),
        candidates_on_validation=count_candidates(data),
        candidates=candidates,
        rates=compare_rates(candidates, plan.kbps),
        bounds=list_bounds(candidates),
        absent_metrics={name: metric(name).missing for name in COMPARISON_METRICS if metric(name).absent},
        failed=failed,
    )


def _write(result: ComparisonResult, out: Path) -> None:
    make_folder(out)
    try:
        write_text(out / "comparison.json", json.dumps(result.to_dict(), indent=1, default=str) + "\n")
        with replacing(out / "curves.png") as part:
            write_curves(result, part)
        write_text(out / "comparison.md", comparison_markdown(result) + "\n![curves](curves.png)\n")
    except OSError as error:
        raise UserError(f"{out}: cannot write the comparison ({error.strerror or error})") from error
