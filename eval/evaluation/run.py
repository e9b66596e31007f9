"""``codec evaluate``: code, score and report the clips of the sealed test split, or of the validation split.

:func:`evaluate` runs these phases: prepare (models, recipe, options), select clips, open the split (on record), code,
score, summarise, and write the report.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from codec.config import Recipe, TargetConfig
from codec.dataset.distribution import in_distribution
from codec.dataset.ledger import LedgerEntry, count_candidates, read_ledger, record_candidate, record_result
from codec.dataset.packed import Clip, DatasetSummary, PackedSplit, list_clips, open_split
from codec.dataset.sealed_test import open_sealed_test
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import fingerprint, load_codec, model_checksum
from codec.pretrained.model_folder import read_training_info
from codec.pretrained.registry import model_name
from codec.recipe import read_recipe
from codec.runtime.command import command_line
from codec.runtime.json_files import from_json
from codec.training.fit_diagnosis import diagnose_run
from codec.training.provenance import count_trained
from eval.benchmarks.memory import coding_peak_mb
from eval.evaluation.clip_selection import choose_clips, selects
from eval.evaluation.output_folder import (
    OPEN_AGAIN,
    REPORT,
    RESULTS,
    check_replaceable,
    publish_evaluation,
    working_folder,
)
from eval.evaluation.rate_distortion import SystemClips, differences, rate_points
from eval.evaluation.results import ClipResult, EvaluationResult, ModelSummary, Row
from eval.evaluation.rows import build_rows, compare_halves, estimate_scores
from eval.evaluation.scoring import DecodeScores, ScoringJob, score_coded_clips
from eval.evaluation.tables import write_tables
from eval.metrics.bootstrap import Estimate
from eval.metrics.registry import METRICS
from eval.pages.evaluation_page import write_report
from eval.systems.baselines import (
    CodedSystem,
    ReferenceSystems,
    code_models,
    code_references,
    find_external_decodes,
    name_models,
)
from eval.systems.external_decodes import ExternalDecode, check_alignment
from eval.systems.operating_point import OperatingPoint
from eval.systems.own import CodedClip, code_clips, count_codes
from eval.systems.system import System

MEMORY_SECONDS = 60.0
"""Length of the audio that the memory is measured with."""
FOLDERS = {"test": "evaluation", "val": "validation"}
"""Split to the folder of a run that its report goes to."""
NO_REFERENCES = ReferenceSystems()


@dataclass(frozen=True)
class EvaluationOptions:
    """What is evaluated, and how."""

    out: Path | None = None
    """Folder of the report; None: ``RUN/evaluation``, or ``RUN/validation``."""
    points: Sequence[OperatingPoint] = ()
    """Operating points, of which the report is about the first; none: with all codebooks."""
    references: ReferenceSystems = NO_REFERENCES
    """Other systems that are evaluated on the same clips, in the same opening of the test split."""
    split: Literal["test", "val"] = "test"
    """On ``val`` the report is about the groups that report, with the gap to those that select."""
    again: bool = False
    """Open the test split for models other than those that it was opened for before."""
    demonstration: bool = False
    """Record the opening of the test split as a demonstration; opens it again, too."""
    max_clips: int | None = None
    """Evaluate no more clips than this, spread over the groups."""
    workers: int = 2
    """Number of processes that compute scores."""
    force: bool = False
    """Replace the results of another command in ``out``; those of the same command are replaced anyway."""


def evaluate(run: Path, data: Path, options: EvaluationOptions | None = None) -> EvaluationResult:
    """Evaluate the model of a run on the test or validation split.

    Writes into the output folder: report.html, results.json and results.md, clips.csv, rates.csv, differences.csv, and
    coded/ with the ``.nac`` files whose sizes give the bit rate. Nothing there changes before all is done. Each opening
    of the test split is a line in the ledger of the data, written when everything has been checked that can be checked
    without the audio of the clips; each model that is evaluated on validation counts as a candidate.

    Args:
        run: folder of the run.
        data: folder that ``codec prepare`` wrote.
        options: what is evaluated, and how; None: the defaults.

    Returns:
        The result, which ``results.json`` has as well.

    Raises:
        SealedError: the test split was opened before for other models, and ``again`` is not set.
        UserError: there is no run, or no model or recipe in it; no data at the model's sample rate and number of
            channels; ``out`` is not writable, or holds another evaluation; the number of codebooks is wrong; decoded
            files do not fit the clips.
    """
    job = _prepare(Path(run), Path(data), options or EvaluationOptions())
    with working_folder(job.out) as work:
        clips = _select_clips(job, work)
        check_replaceable(job.out, job.command, job.options.force)
        opened = _open(job)
        coded = _code(job, clips, opened.split, work)
        scored = _score(coded, job.recipe.target, job.options.workers)
        result = _summarise(job, clips, opened, coded, scored)
        _write(result, coded, _systems(job, coded, scored), work)
        publish_evaluation(work, job.out)
        if opened.key is not None:
            record_result(job.data, opened.key, _headline(result))
        return result


# --- 1: models and options ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Job:
    """An evaluation whose options are checked."""

    run: Path
    data: Path
    out: Path
    options: EvaluationOptions
    points: Sequence[OperatingPoint]
    models: Mapping[str, Codec]
    """Name to model; the one that the report is about is the first."""
    recipe: Recipe
    command: str

    @property
    def name(self) -> str:
        return next(iter(self.models))

    @property
    def codec(self) -> Codec:
        return self.models[self.name]

    @property
    def sample_rate(self) -> int:
        return self.codec.config.sample_rate

    @property
    def channels(self) -> int:
        return self.recipe.data.channels


def _prepare(run: Path, data: Path, options: EvaluationOptions) -> _Job:
    out = Path(options.out) if options.out else run / FOLDERS[options.split]
    codec = load_codec(run)
    if not (run / "recipe.yaml").is_file():
        raise UserError(f"{run}: no recipe.yaml; give the folder that codec train wrote")
    recipe = read_recipe(str(run / "recipe.yaml"))
    models = name_models(run, codec, options.references)
    points = options.points or (OperatingPoint(),)
    for model in models.values():
        for point in points:
            point.check(model)
    options.references.check()
    if options.again and options.split != "test":
        raise UserError("--open-test-again is about the test split, which stays closed here")
    if options.max_clips is not None and options.max_clips < 1:
        raise UserError(f"at least 1 clip must be evaluated, not {options.max_clips}")
    return _Job(run, data, out, options, points, models, recipe, _command(run, data, out, points, options))


def _command(run: Path, data: Path, out: Path, points: Sequence[OperatingPoint], options: EvaluationOptions) -> str:
    """Return the command that repeats the evaluation: the options that change its results, always in this order, so
    that commands can be compared."""
    words = ["codec", "evaluate", model_name(run), "--data", str(data)]
    words += ["--out", str(out)] if out != run / FOLDERS[options.split] else []
    words += ["--split", options.split] if options.split != "test" else []
    for option, values in (
        ("--kbps", [point.kbps for point in points if point.kbps is not None]),
        ("--codebooks", [point.codebooks for point in points if point.codebooks is not None]),
    ):
        words += [option, *(f"{value:g}" for value in values)] if values else []
    words += options.references.words()
    words += ["--clips", str(options.max_clips)] if options.max_clips is not None else []
    return command_line(*words) + (OPEN_AGAIN if options.again else "")


# --- 2: clips -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Clips:
    """The clips of an evaluation, before any audio is read."""

    listed: list[Clip]
    """All clips of the split."""
    reporting: list[int]
    """Indices of the clips that the report is about."""
    selecting: list[int]
    """Indices of the clips of the validation groups that select."""
    external: Mapping[str, Sequence[ExternalDecode]]
    """Name of another codec to its decodes of the reporting clips."""
    trained: ModelSummary


def _select_clips(job: _Job, work: Path) -> _Clips:
    rate, channels, split = job.sample_rate, job.channels, job.options.split
    trained = _summarise_model(job.run, job.codec, open_split(job.data, "train", rate, channels), channels)
    listed = list_clips(job.data, split, rate, channels)
    chosen = choose_clips(listed, job.options.max_clips)
    selecting = [index for index in chosen if split == "val" and selects(listed[index].group)]
    reporting = [index for index in chosen if index not in selecting]
    if not reporting:
        raise UserError(
            f"{job.data}: all of these validation clips are of groups that select, none of groups that report; prepare"
            " more groups"
        )
    external = find_external_decodes(job.options.references, listed, reporting, rate, channels, work)
    return _Clips(listed, reporting, selecting, external, trained)


@dataclass(frozen=True)
class _Training:
    """Of a model's ``config.json``."""

    steps: int | None = None
    trained_on: DatasetSummary | None = None


def _summarise_model(run: Path, codec: Codec, split: PackedSplit, channels: int) -> ModelSummary:
    """Summarise the model; one of an earlier version does not name its training data, and is taken to be of this."""
    info = read_training_info(run)
    try:
        known = from_json(_Training, {"steps": info.get("step", info.get("steps")), **info})
    except ValueError as error:
        raise UserError(f"{run}: the part of its config.json about the training is damaged ({error})") from error
    return ModelSummary(
        sample_rate=codec.config.sample_rate,
        channels=channels,
        parameters=sum(weight.numel() for weight in codec.parameters()),
        codebooks=codec.config.quantizer.codebooks,
        codebook_size=codec.config.quantizer.size,
        fingerprint=fingerprint(codec),
        latency_ms=codec.config.latency_ms,
        steps=known.steps,
        **asdict(known.trained_on or split.summary),
        checksum=model_checksum(codec),
    )


# --- 3: the split, opened on record -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Opened:
    split: PackedSplit
    openings: list[LedgerEntry]
    """Of the test split, before this one."""
    key: str | None
    """Of this opening in the ledger; None on validation."""


def _open(job: _Job) -> _Opened:
    options = job.options
    if options.split == "val":
        opened = open_split(job.data, "val", job.sample_rate, job.channels)
        for path in (job.run, *options.references.models):
            record_candidate(job.data, str(path.resolve()))
        return _Opened(opened, read_ledger(job.data), None)
    sealed = open_sealed_test(
        job.data,
        job.sample_rate,
        job.channels,
        run=str(job.run),
        weights=[model_checksum(model) for model in job.models.values()],
        purpose="demonstration" if options.demonstration else "evaluation",
        again=options.again or options.demonstration,
    )
    return _Opened(sealed.split, sealed.before, sealed.opening.key)


# --- 4: coding ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Coded:
    """The clips as every system coded them."""

    reporting: list[CodedClip]
    selecting: list[CodedClip]
    """Coded by the model at its first operating point alone."""
    others: list[CodedSystem]
    """The reporting clips by the other systems."""
    absent: dict[str, str]
    """System that could not code the clips, to the reason."""


def _code(job: _Job, clips: _Clips, opened: PackedSplit, work: Path) -> _Coded:
    external = {name: check_alignment(found, opened, clips.reporting) for name, found in clips.external.items()}
    originals, point = work / "original", job.points[0]
    every = clips.reporting + clips.selecting
    coded = code_clips(opened, every, job.codec, originals, work, point, str(point))
    reporting, selecting = coded[: len(clips.reporting)], coded[len(clips.reporting) :]
    others = code_models(job.models, job.points, opened, clips.reporting, originals, work)
    references, absent = code_references(job.options.references, reporting, external, work)
    return _Coded(reporting, selecting, others + references, absent)


# --- 5: scores ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scored:
    """The results of the clips, in the order of :class:`_Coded`."""

    reporting: list[ClipResult]
    selecting: list[ClipResult]
    others: list[list[ClipResult]]


def _score(coded: _Coded, target: TargetConfig, workers: int) -> _Scored:
    """Score all clips, those of the model with noise and other clips' decodes as baselines."""
    own = [*coded.reporting, *coded.selecting]
    jobs = [ScoringJob(entry, seed, _find_unrelated(own, seed)) for seed, entry in enumerate(own)]
    jobs += [ScoringJob(entry) for system in coded.others for entry in system.coded]
    scores = iter(score_coded_clips(jobs, workers))

    def results(clips: Iterable[CodedClip]) -> list[ClipResult]:
        return [_clip_result(entry, next(scores), target) for entry in clips]

    return _Scored(
        results(coded.reporting), results(coded.selecting), [results(system.coded) for system in coded.others]
    )


def _find_unrelated(coded: Sequence[CodedClip], index: int) -> Path | None:
    """Return the decode of the next clip of another group, or of the next clip if there is one group only."""
    following = [*coded[index + 1 :], *coded[:index]]
    strangers = [entry for entry in following if entry.clip.group != coded[index].clip.group]
    return next((entry.decoded for entry in strangers or following), None)


def _clip_result(entry: CodedClip, scores: DecodeScores, target: TargetConfig) -> ClipResult:
    return ClipResult(
        clip_id=entry.clip.clip_id,
        path=str(entry.clip.path).encode(errors="surrogateescape").decode(errors="replace"),
        domain=entry.clip.domain,
        group=entry.clip.group,
        in_distribution=in_distribution(entry.clip, target),
        seconds=entry.seconds,
        bytes=entry.bytes,
        kbps=None if entry.bytes is None else 8 * entry.bytes / entry.seconds / 1000,
        encode_s=entry.encode_s,
        decode_s=entry.decode_s,
        scores=scores.decoded,
        baseline=scores.noise,
        other_codes_mel=scores.unrelated_mel,
        container_bytes=entry.container_bytes,
    )


def _systems(job: _Job, coded: _Coded, scored: _Scored) -> list[SystemClips]:
    own = System(job.name, str(job.points[0]), "model")
    others = [SystemClips(entry.system, clips) for entry, clips in zip(coded.others, scored.others)]
    return [SystemClips(own, scored.reporting), *others]


# --- 6: the result ------------------------------------------------------------------------------------------


def _summarise(job: _Job, clips: _Clips, opened: _Opened, coded: _Coded, scored: _Scored) -> EvaluationResult:
    _print_progress(f"measuring the memory that coding {MEMORY_SECONDS:g} s of audio takes")
    memory_mb = _measure_memory(job)
    _print_progress("computing means and intervals")
    rows, results = build_rows(scored.reporting), scored.reporting
    systems = _systems(job, coded, scored)
    seconds = sum(clip.seconds for clip in results)
    codes = count_codes([entry.coded for entry in coded.reporting], job.codec)
    noise = rows[0].baseline.get("mel")
    return EvaluationResult(
        run=str(job.run),
        data=str(job.data),
        report=job.out / REPORT,
        command=job.command,
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        demonstration=job.options.demonstration,
        opened_before=len(opened.openings),
        candidates=count_candidates(job.data),
        clips_in_split=len(opened.split),
        operating_point=str(job.points[0]),
        kbps=8 * sum(entry.coded.stat().st_size for entry in coded.reporting) / seconds / 1000,
        nominal_kbps=float(codes.counts.sum()) * job.codec.config.bits_per_code / seconds / 1000,
        ideal_kbps=codes.ideal_bits / seconds / 1000,
        encode_times_real_time=seconds / sum(clip.encode_s for clip in results),
        decode_times_real_time=seconds / sum(clip.decode_s for clip in results),
        other_codes_mel=_estimate_unrelated(results),
        absent=_absent_metrics(results, job.sample_rate),
        trained=clips.trained,
        diagnosis=diagnose_run(job.run, noise.mean if noise else None, job.recipe.optim.warmup_steps),
        rows=rows,
        others=[_other_row(job.name, entry, found) for entry, found in zip(coded.others, scored.others)],
        usage=codes.usage(),
        clips=results,
        split=job.options.split,
        system=job.name,
        openings=opened.openings,
        absent_systems=coded.absent,
        rates=rate_points(systems),
        differences=differences(*_split_by_name(systems, job.name)),
        halves=compare_halves(results, scored.selecting) if job.options.split == "val" else None,
        memory_mb=memory_mb,
        trained_clips=count_trained(job.run, clips.listed),
    )


def _estimate_unrelated(clips: Sequence[ClipResult]) -> Estimate | None:
    meant = [clip for clip in clips if clip.in_distribution] or clips
    return estimate_scores((clip.other_codes_mel, clip.group) for clip in meant)


def _absent_metrics(clips: Sequence[ClipResult], sample_rate: int) -> dict[str, str]:
    domains = {clip.domain for clip in clips}
    return {
        entry.name: entry.missing
        for entry in METRICS
        if entry.absent and any(entry.applies(domain, sample_rate) for domain in domains)
    }


def _other_row(main: str, entry: CodedSystem, clips: Sequence[ClipResult]) -> Row:
    return replace(build_rows(clips)[0], name=entry.system.label(main), note=entry.note)


def _split_by_name(systems: Sequence[SystemClips], name: str) -> tuple[list[SystemClips], list[SystemClips]]:
    ours = [entry for entry in systems if entry.system.name == name]
    return ours, [entry for entry in systems if entry.system.name != name]


def _measure_memory(job: _Job) -> float | None:
    """Return the peak in MB, or None if it cannot be measured: the rest of the evaluation is not lost for that."""
    try:
        return coding_peak_mb(job.run, MEMORY_SECONDS, job.sample_rate, job.channels)
    except UserError:
        return None


# --- 7: the report ------------------------------------------------------------------------------------------


def _write(result: EvaluationResult, coded: _Coded, systems: Sequence[SystemClips], work: Path) -> None:
    _print_progress("writing report and tables")
    write_report(result, coded.reporting, coded.others, work / REPORT)
    (work / RESULTS).write_text(json.dumps(result.to_dict(), indent=1) + "\n")
    write_tables(result, systems, work)


def _headline(result: EvaluationResult) -> dict[str, Any]:
    """Return what the ledger keeps: means of the model, and of all other systems."""

    def means(row: Row) -> Mapping[str, float | None]:
        return {"kbps": row.kbps, **{name: found.mean for name, found in row.metrics.items()}}

    own = {"clips": len(result.clips), **means(result.main), "kbps": result.kbps}
    return {**own, "beside": {row.name: means(row) for row in result.others}}


def _print_progress(phase: str) -> None:
    """Print where the progress bars are, too."""
    print(f"{phase} …", file=sys.stderr, flush=True)
