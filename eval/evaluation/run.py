"""``codec evaluate``: code, score and report the clips of the sealed test split, or of the validation split.

:func:`evaluate` runs these phases: prepare (models, recipe, options), select clips, open the split (test: recorded in
the ledger), code, score, summarise, and write the report.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from codec.config import TargetConfig
from codec.dataset.distribution import in_distribution
from codec.dataset.ledger import read_ledger, record_candidate, record_result
from codec.dataset.packed import list_clips, open_split
from codec.dataset.packed_split import PackedSplit
from codec.dataset.sealed_test import open_sealed_test
from codec.errors import UserError
from codec.pretrained.checkpoint import model_checksum
from codec.runtime.process_pool import Workers
from eval.evaluation.clip_selection import choose_clips, choose_transcribed, selects
from eval.evaluation.job import (
    CodedSystems,
    EvaluationJob,
    EvaluationOptions,
    OpenedSplit,
    ScoredSystems,
    SelectedClips,
    prepare_evaluation,
)
from eval.evaluation.output_folder import (
    REPORT,
    RESULTS,
    check_replaceable,
    publish_evaluation,
    working_folder,
)
from eval.evaluation.rate_distortion import SystemClips
from eval.evaluation.results import ClipResult, EvaluationResult, Row
from eval.evaluation.scoring import ALL_METRICS, DecodeScores, ScoringJob, score_coded_clips
from eval.evaluation.summary import list_bounds, list_systems, print_progress, summarise_evaluation, summarise_model
from eval.evaluation.tables import write_evaluation_tables
from eval.metrics.registry import metric
from eval.pages.evaluation_page import write_report
from eval.systems.baselines import (
    code_models,
    code_references,
    find_external_decodes,
    take_original,
)
from eval.systems.bounds import code_bounds, missing_bounds
from eval.systems.external_decodes import check_alignment
from eval.systems.own import CodedClip, code_clips

WER = "wer"
"""The metric that compares decoded audio with a text; it is also measured on the original audio."""


def evaluate(run: Path, data: Path, options: EvaluationOptions | None = None) -> EvaluationResult:
    """Evaluate the model of a run on the test or validation split.

    Writes into the output folder: report.html, results.json and results.md, clips.csv, rates.csv, differences.csv, and
    coded/ with the ``.nac`` files whose sizes give the bit rate. The folder is replaced only at the end. Each opening
    of the test split is recorded in the ledger, after all checks that need no audio; each model evaluated on validation
    is recorded as a candidate, so that reports can state how many were tried.

    Args:
        run: folder of the run.
        data: folder that ``codec prepare`` wrote.
        options: options of the evaluation; None: the defaults.

    Returns:
        The result, as in ``results.json``.

    Raises:
        SealedError: the test split was opened before for other models, and ``again`` is not set.
        UserError: there is no run, or no model or recipe in it; no data at the model's sample rate and number of
            channels; ``out`` is not writable, or holds another evaluation; the number of codebooks is wrong; decoded
            files do not fit the clips.
    """
    job = prepare_evaluation(Path(run), Path(data), options or EvaluationOptions())
    with working_folder(job.out) as work:
        clips = _select_clips(job, work)
        check_replaceable(job.out, job.command, job.options.force)
        opened = _open(job)
        coded = _code(job, clips, opened.split, work)
        scored = _score(coded, clips.transcribed, job.recipe.target, job.options.workers)
        result = summarise_evaluation(job, clips, opened, coded, scored)
        systems = [*list_systems(job, coded, scored), *list_bounds(coded, scored)]
        _write(result, coded, systems, work)
        publish_evaluation(work, job.out)
        if opened.key is not None:
            record_result(job.data, opened.key, _ledger_entry(result))
        return result


def _select_clips(job: EvaluationJob, work: Path) -> SelectedClips:
    rate, channels, split = job.sample_rate, job.channels, job.options.split
    trained = summarise_model(job.run, job.codec, job.data, channels)
    listed = list_clips(job.data, split, rate, channels)
    chosen = choose_clips(listed, job.options.max_clips)
    selecting = [index for index in chosen if split == "val" and selects(listed[index].group)]
    reporting = [index for index in chosen if index not in selecting]
    if not reporting:
        raise UserError(
            f"{job.data}: all chosen validation clips belong to the half of the groups that is reserved for model"
            " selection; prepare recordings of more groups, or raise --clips"
        )
    external = find_external_decodes(job.options.references, listed, reporting, rate, channels, work)
    transcribed = [index for half in (reporting, selecting) for index in choose_transcribed(listed, half, rate)]
    recognised = frozenset(listed[index].clip_id for index in transcribed)
    return SelectedClips(listed, reporting, selecting, recognised, external, trained)


def _open(job: EvaluationJob) -> OpenedSplit:
    options = job.options
    if options.split == "val":
        opened = open_split(job.data, "val", job.sample_rate, job.channels)
        for path in (job.run, *options.references.models):
            record_candidate(job.data, str(path.resolve()))
        return OpenedSplit(opened, read_ledger(job.data), None)
    sealed = open_sealed_test(
        job.data,
        job.sample_rate,
        job.channels,
        run=str(job.run),
        weights=[model_checksum(model) for model in job.models.values()],
        purpose="demonstration" if options.demonstration else "evaluation",
        again=options.again or options.demonstration,
    )
    return OpenedSplit(sealed.split, sealed.before, sealed.opening.key)


def _code(job: EvaluationJob, clips: SelectedClips, opened: PackedSplit, work: Path) -> CodedSystems:
    external = {name: check_alignment(found, opened, clips.reporting) for name, found in clips.external.items()}
    originals, point = work / "original", job.points[0]
    every = clips.reporting + clips.selecting
    coded = code_clips(opened, every, job.codec, originals, work, point, str(point))
    reporting, selecting = coded[: len(clips.reporting)], coded[len(clips.reporting) :]
    others = code_models(job.models, job.points, opened, clips.reporting, originals, work)
    references, absent = code_references(job.options.references, reporting, external, work)
    original = [take_original(reporting, [WER])] if clips.transcribed and not metric(WER).absent else []
    bounds = code_bounds(job.codec, reporting, work) if len(job.points) > 1 else []
    absent |= missing_bounds(job.codec) if bounds else {}
    return CodedSystems(reporting, selecting, [*others, *references, *original], bounds, absent)


def _score(coded: CodedSystems, transcribed: Collection[str], target: TargetConfig, workers: Workers) -> ScoredSystems:
    """Score all clips. The clips of the evaluated model are also scored with two baselines: noise, and the decoded
    audio of an unrelated clip.
    """
    own = [*coded.reporting, *coded.selecting]

    def text(entry: CodedClip) -> str:
        return entry.clip.text if entry.clip.clip_id in transcribed else ""

    jobs = [ScoringJob(entry, seed, _find_unrelated(own, seed), text(entry)) for seed, entry in enumerate(own)]
    jobs += [
        ScoringJob(entry, text=text(entry), metrics=ALL_METRICS if system.metrics is None else system.metrics)
        for system in (*coded.others, *coded.bounds)
        for entry in system.coded
    ]
    scores = iter(score_coded_clips(jobs, workers))

    def results(clips: Iterable[CodedClip]) -> list[ClipResult]:
        return [_clip_result(entry, next(scores), target) for entry in clips]

    return ScoredSystems(
        results(coded.reporting),
        results(coded.selecting),
        [results(system.coded) for system in coded.others],
        [results(system.coded) for system in coded.bounds],
    )


def _find_unrelated(coded: Sequence[CodedClip], index: int) -> Path | None:
    """Return the decoded file of the next clip of another group, or of the next clip if there is one group only."""
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


def _write(result: EvaluationResult, coded: CodedSystems, systems: Sequence[SystemClips], work: Path) -> None:
    print_progress("writing report and tables")
    write_report(result, coded.reporting, coded.others, work / REPORT)
    (work / RESULTS).write_text(json.dumps(result.to_dict(), indent=1) + "\n")
    write_evaluation_tables(result, systems, work)


def _ledger_entry(result: EvaluationResult) -> dict[str, Any]:
    """Return the figures for the ledger: means of the model and of all other systems."""

    def means(row: Row) -> Mapping[str, float | None]:
        return {"kbps": row.kbps, **{name: found.mean for name, found in row.metrics.items()}}

    own = {"clips": len(result.clips), **means(result.main), "kbps": result.kbps}
    return {**own, "beside": {row.name: means(row) for row in result.others}}
