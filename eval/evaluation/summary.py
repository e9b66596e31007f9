"""The summary of an evaluation: from the scores of the clips to the result."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from codec.dataset.clips import Clip
from codec.dataset.ledger import count_candidates
from codec.dataset.location import DataLocation, open_split
from codec.dataset.packed_split import DatasetSummary
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import fingerprint, model_checksum
from codec.pretrained.model_folder import read_training_info
from codec.runtime.json_files import from_json
from codec.runtime.messages import dated, is_quiet
from codec.training.fit_diagnosis import Diagnosis, diagnose_run
from codec.training.provenance import count_trained
from eval.benchmarks.memory import coding_peak_mb
from eval.evaluation.job import CodedSystems, EvaluationJob, OpenedSplit, ScoredSystems, SelectedClips
from eval.evaluation.output_folder import (
    REPORT,
)
from eval.evaluation.rate_distortion import SystemClips, differences, own_differences, rate_points
from eval.evaluation.results import ClipResult, EvaluationResult, ModelSummary, Row
from eval.evaluation.rows import build_rows, compare_halves, estimate_scores
from eval.metrics.confidence import Estimate
from eval.metrics.registry import METRICS
from eval.systems.baselines import (
    CodedSystem,
)
from eval.systems.own import count_codes
from eval.systems.system import System

MEMORY_SECONDS = 60.0
"""Length of the audio that the memory is measured with."""


def summarise_evaluation(
    job: EvaluationJob, clips: SelectedClips, opened: OpenedSplit, coded: CodedSystems, scored: ScoredSystems
) -> EvaluationResult:
    """Compute means, intervals, bit rates and differences, and measure the memory of coding.

    Args:
        job: the options and models.
        clips: the selected clips.
        opened: the split.
        coded: the clips coded by all systems.
        scored: their scores.

    Returns:
        The result.
    """
    memory_mb = _measure_memory(job)
    print_progress("computing means and intervals")
    rows, results = build_rows(scored.reporting), scored.reporting
    systems = list_systems(job, coded, scored)
    seconds = sum(clip.seconds for clip in results)
    ours, rivals = _split_by_name(systems, job.name)
    codes = count_codes([entry.coded for entry in coded.reporting], job.codec)
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
        absent=_absent_metrics([clips.listed[index] for index in clips.reporting], job.sample_rate),
        trained=clips.trained,
        diagnosis=_diagnose(job, rows[0]),
        rows=rows,
        others=[_other_row(job.name, entry, found) for entry, found in zip(coded.others, scored.others)],
        bounds=[_other_row(job.name, entry, found) for entry, found in zip(coded.bounds, scored.bounds)],
        usage=codes.usage(),
        clips=results,
        split=job.options.split,
        system=job.name,
        openings=opened.openings,
        absent_systems=coded.absent,
        rates=rate_points([*systems, *list_bounds(coded, scored)]),
        differences=[*differences(ours, rivals), *own_differences(ours)],
        halves=compare_halves(results, scored.selecting) if job.options.split == "val" else None,
        memory_mb=memory_mb,
        trained_clips=count_trained(job.run, clips.listed),
    )


def _diagnose(job: EvaluationJob, row: Row) -> Diagnosis:
    noise = row.baseline.get("mel")
    return diagnose_run(job.run, noise.mean if noise else None, job.recipe.optim.warmup_steps)


def _estimate_unrelated(clips: Sequence[ClipResult]) -> Estimate | None:
    meant = [clip for clip in clips if clip.in_distribution] or clips
    return estimate_scores("mel", ((clip.other_codes_mel, clip.group) for clip in meant))


def _absent_metrics(clips: Sequence[Clip], sample_rate: int) -> dict[str, str]:
    return {
        entry.name: entry.missing
        for entry in METRICS
        if entry.absent and any(entry.applies(clip.domain, sample_rate, clip.text) for clip in clips)
    }


def _other_row(main: str, entry: CodedSystem, clips: Sequence[ClipResult]) -> Row:
    return replace(build_rows(clips)[0], name=entry.system.label(main), note=entry.note)


def _split_by_name(systems: Sequence[SystemClips], name: str) -> tuple[list[SystemClips], list[SystemClips]]:
    ours = [entry for entry in systems if entry.system.name == name]
    return ours, [entry for entry in systems if entry.system.name != name]


def _measure_memory(job: EvaluationJob) -> float | None:
    """Return the peak in MB, or None if it cannot be measured: the rest of the evaluation is not lost for that."""
    print_progress(f"measuring the memory for coding {MEMORY_SECONDS:g} s of audio")
    try:
        return coding_peak_mb(job.run, MEMORY_SECONDS, job.sample_rate, job.channels)
    except UserError:
        return None


def list_systems(job: EvaluationJob, coded: CodedSystems, scored: ScoredSystems) -> list[SystemClips]:
    """List the clips of every system, the model at its first operating point first.

    Args:
        job: the options and models.
        coded: the clips coded by all systems.
        scored: their scores.

    Returns:
        The systems, with the clips that the report is about.
    """
    own = System(job.name, str(job.points[0]), "model")
    others = [SystemClips(entry.system, clips) for entry, clips in zip(coded.others, scored.others)]
    return [SystemClips(own, scored.reporting), *others]


def list_bounds(coded: CodedSystems, scored: ScoredSystems) -> list[SystemClips]:
    """List the clips at the bounds of the model.

    Args:
        coded: the clips coded by all systems.
        scored: their scores.

    Returns:
        The bounds, with the clips that the report is about.
    """
    return [SystemClips(entry.system, clips) for entry, clips in zip(coded.bounds, scored.bounds)]


@dataclass(frozen=True)
class _Training:
    """The part of a model's ``config.json`` about the training."""

    steps: int | None = None
    trained_on: DatasetSummary | None = None


def summarise_model(run: Path, codec: Codec, data: DataLocation, channels: int) -> ModelSummary:
    """Summarise the model and its training.

    Args:
        run: its folder.
        codec: the model.
        data: folder that ``codec prepare`` wrote; a model of an earlier version that does not name its data is assumed
            to be trained on its training split.
        channels: number of channels of the packed clips.

    Returns:
        The summary.

    Raises:
        UserError: the model's ``config.json`` is damaged, or it does not name its data and there is no training split.
    """
    info = read_training_info(run)
    try:
        known = from_json(_Training, {"steps": info.get("step", info.get("steps")), **info})
    except ValueError as error:
        raise UserError(f"{run}: the part of its config.json about the training is damaged ({error})") from error
    trained_on = known.trained_on or open_split(data, "train", codec.config.sample_rate, channels).summary
    return ModelSummary(
        sample_rate=codec.config.sample_rate,
        channels=channels,
        parameters=sum(weight.numel() for weight in codec.parameters()),
        codebooks=codec.config.quantizer.codebooks,
        codebook_size=codec.config.quantizer.size,
        fingerprint=fingerprint(codec),
        latency_ms=codec.config.latency_ms,
        steps=known.steps,
        **asdict(trained_on),
        checksum=model_checksum(codec),
    )


def print_progress(phase: str) -> None:
    """Print a phase of the evaluation to standard error, where progress bars are as well.

    Args:
        phase: description of the phase.
    """
    if not is_quiet():
        text = f"{phase} …"
        print(text if sys.stderr.isatty() else dated(text), file=sys.stderr, flush=True)
