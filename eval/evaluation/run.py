"""``codec evaluate``: the sealed test split, opened on record, or the validation split; coded, judged, reported."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from codec.config import TargetConfig
from codec.dataset.distribution import in_distribution
from codec.dataset.ledger import count_candidates, read_ledger, record_candidate, record_result
from codec.dataset.packed import Clip, DatasetSummary, PackedSplit, list_clips, open_split
from codec.dataset.sealed_test import open_sealed_test
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import checksum, fingerprint, load_model, read_info
from codec.pretrained.registry import name_of
from codec.recipe import read_recipe
from codec.runtime.json_files import from_json
from codec.training.fit_diagnosis import diagnose_run
from codec.training.provenance import count_trained
from eval.benchmarks.memory import peak_mb
from eval.evaluation.clip_selection import compare_halves, selects
from eval.evaluation.output_folder import AGAIN, REPORT, RESULTS, check_place, publish, working_folder
from eval.evaluation.rate_distortion import System, differences, rate_points
from eval.evaluation.results import ClipResult, EvaluationResult, Row, Trained
from eval.evaluation.rows import build_rows, estimate_scores
from eval.evaluation.scoring import ClipScores, ScoreJob, score_clips
from eval.evaluation.tables import write_tables
from eval.metrics.registry import METRICS
from eval.pages.evaluation_page import write_report
from eval.systems.baselines import CodedSystem, ReferenceSystems, bring, code_models, code_others, name_models
from eval.systems.external_decodes import ExternalDecode, check_alignment
from eval.systems.own import CodedClip, OperatingPoint, choose, code_clips, count_codes, usage

ALONE = ReferenceSystems()
MEMORY_SECONDS = 60.0
FOLDERS = {"test": "evaluation", "val": "validation"}
"""Of a run: where its report goes."""


def evaluate(
    run: Path,
    data: Path,
    *,
    out: Path | None = None,
    points: Sequence[OperatingPoint] = (),
    beside: ReferenceSystems = ALONE,
    split: Literal["test", "val"] = "test",
    again: bool = False,
    demonstration: bool = False,
    max_clips: int | None = None,
    workers: int = 2,
    force: bool = False,
) -> EvaluationResult:
    """Judges the model of ``run`` on the test or validation split of ``data``.

    Writes into ``out`` (default ``RUN/evaluation`` or ``RUN/validation``): report.html, results.json and .md,
    clips.csv, rates.csv, differences.csv, and coded/ with the ``.nac`` files whose sizes the bit rate is taken from.
    Nothing there changes before all is done. Each opening of the test split is a line in the ledger beside the data,
    written when all that can be checked without the sound of the clips is found good; each model judged on validation
    counts as a candidate.

    Args:
        points: at which to code (default: with all codebooks). The first is what the report is about, the others have
            rows beside it.
        beside: what else is judged on the same clips, in the same opening.
        split: on validation the report is about the groups that report, with the gap to those that select.
        again: opens the test split for models other than those that it was opened for before.
        demonstration: marks the opening of the test split as one; opens it again, too.
        max_clips: judge so many clips at most, spread over the groups.
        workers: processes that judge.
        force: replaces what another evaluation left in ``out``; the same one again may replace its own.

    Raises:
        SealedError: the test split was opened before for other models, and is not to be opened ``again``.
        UserError: no run, no model or recipe in it; no data at the model's rate and channels; ``out`` not
            writable, or holding another evaluation; wrong number of codebooks; decoded files that do not fit the clips.
    """
    run, data = Path(run), Path(data)
    out = Path(out) if out else run / FOLDERS[split]
    codec = load_model(run)
    if not (run / "recipe.yaml").is_file():
        raise UserError(f"{run}: no recipe.yaml; give the folder that codec train wrote")
    recipe = read_recipe(str(run / "recipe.yaml"))
    channels = recipe.data.channels
    models = name_models(run, codec, beside)
    ours = next(iter(models))
    points = points or (OperatingPoint(),)
    for model in models.values():
        for point in points:
            point.check(model)
    beside.check()
    if again and split != "test":
        raise UserError("--open-test-again is about the test split, which stays closed here")
    if max_clips is not None and max_clips < 1:
        raise UserError(f"at least 1 clip must be judged, not {max_clips}")
    with working_folder(out) as work:
        rate = codec.config.sample_rate
        trained = _trained(run, codec, open_split(data, "train", rate, channels), channels)
        listed = list_clips(data, split, rate, channels)
        parts = _parts(listed, split, max_clips)
        brought = bring(beside, listed, parts.reporting, rate, channels, work)
        command = _command(run, data, out, points, beside, split, again, max_clips)
        check_place(out, command, force)
        if split == "test":
            sealed = open_sealed_test(
                data, rate, channels, run=str(run), weights=[checksum(model) for model in models.values()],
                purpose="demonstration" if demonstration else "evaluation", again=again or demonstration,
            )  # fmt: skip
            opened, before = sealed.split, sealed.before
        else:
            opened, before = open_split(data, "val", rate, channels), read_ledger(data)
            for path in (run, *beside.models):
                record_candidate(data, str(path.resolve()))
        material = _code(opened, parts, models, points, beside, brought, work)
        coded, others = material.reporting, material.others
        clips, selecting, *rest = _judge(material, recipe.target, workers)
        _tell(f"measuring the memory that {MEMORY_SECONDS:g} s of sound take")
        memory = _memory_mb(run, rate, channels)
        _tell("computing means and intervals")
        rows = build_rows(clips)
        systems = [System(ours, str(points[0]), clips)]
        systems += [System(entry.name, entry.point, found) for entry, found in zip(others, rest)]
        seconds = sum(clip.seconds for clip in clips)
        aimed_at = [clip for clip in clips if clip.in_distribution] or clips
        codes = count_codes([entry.coded for entry in coded], codec)
        noise = rows[0].baseline.get("mel")
        result = EvaluationResult(
            run=str(run),
            data=str(data),
            report=out / REPORT,
            command=command,
            made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            demonstration=demonstration,
            opened_before=len(before),
            candidates=count_candidates(data),
            clips_in_split=len(opened),
            operating_point=str(points[0]),
            kbps=8 * sum(entry.coded.stat().st_size for entry in coded) / seconds / 1000,
            nominal_kbps=float(codes.counts.sum()) * codec.config.bits_per_code / seconds / 1000,
            ideal_kbps=codes.ideal_bits / seconds / 1000,
            encode_times_real_time=seconds / sum(clip.encode_s for clip in clips),
            decode_times_real_time=seconds / sum(clip.decode_s for clip in clips),
            other_codes_mel=estimate_scores((clip.other_codes_mel, clip.group) for clip in aimed_at),
            absent={
                entry.name: entry.missing
                for entry in METRICS
                if entry.absent and any(entry.applies(clip.domain, rate) for clip in clips)
            },
            trained=trained,
            diagnosis=diagnose_run(run, noise.mean if noise else None, recipe.optim.warmup_steps),
            rows=rows,
            others=[
                replace(build_rows(system.clips)[0], name=entry.label, note=entry.note)
                for entry, system in zip(others, systems[1:])
            ],
            usage=usage(codes.counts),
            clips=clips,
            split=split,
            system=ours,
            openings=before,
            absent_systems=material.absent,
            rates=rate_points(systems),
            differences=differences(
                [system for system in systems if system.name == ours],
                [system for system in systems if system.name != ours],
            ),
            halves=compare_halves(clips, selecting) if split == "val" else None,
            memory_mb=memory,
            trained_clips=count_trained(run, listed),
        )
        _tell("writing report and tables")
        write_report(result, coded, others, work / REPORT)
        (work / RESULTS).write_text(json.dumps(result.to_dict(), indent=1) + "\n")
        write_tables(result, systems, work)
        publish(work, out)
        if split == "test":
            record_result(data, sealed.opening.key, _headline(result))
        return result


@dataclass(frozen=True)
class _Parts:
    """Indices of the clips that the report is about, and of those of the validation groups that select."""

    reporting: list[int]
    selecting: list[int]


def _parts(clips: list[Clip], split: Literal["test", "val"], most: int | None) -> _Parts:
    chosen = choose(clips, most)
    selecting = [index for index in chosen if split == "val" and selects(clips[index].group)]
    reporting = [index for index in chosen if index not in selecting]
    if not reporting:
        raise UserError("all of these validation clips are of groups that select; prepare more groups")
    return _Parts(reporting, selecting)


@dataclass(frozen=True)
class _Material:
    """The clips coded in every way: by the model those that the report is about (``reporting``) and those of the groups
    that select, by all ``others`` the first alone."""

    reporting: list[CodedClip]
    selecting: list[CodedClip]
    others: list[CodedSystem]
    absent: dict[str, str]


def _code(
    opened: PackedSplit,
    parts: _Parts,
    models: Mapping[str, Codec],
    points: Sequence[OperatingPoint],
    beside: ReferenceSystems,
    brought: Mapping[str, Sequence[ExternalDecode]],
    work: Path,
) -> _Material:
    brought = {name: check_alignment(found, opened, parts.reporting) for name, found in brought.items()}
    originals, reporting = work / "original", parts.reporting
    codec = next(iter(models.values()))
    coded = code_clips(opened, reporting + parts.selecting, codec, originals, work, points[0], str(points[0]))
    coded, rest = coded[: len(reporting)], coded[len(reporting) :]
    others = code_models(models, points, opened, reporting, originals, work)
    made, absent = code_others(beside, coded, brought, work)
    return _Material(coded, rest, others + made, absent)


def _judge(material: _Material, target: TargetConfig, workers: int) -> list[list[ClipResult]]:
    """Of the clips that report and those that select, with noise and other clips' codes; then of each of the others."""
    groups = [material.reporting, material.selecting, *(system.coded for system in material.others)]
    jobs = _jobs([*material.reporting, *material.selecting])
    jobs += [
        ScoreJob(entry.original, entry.decoded, None, entry.clip.domain, 0, alone=True)
        for some in groups[2:]
        for entry in some
    ]
    scores = iter(score_clips(jobs, workers))
    return [[_clip_result(entry, next(scores), target) for entry in some] for some in groups]


def _jobs(coded: Sequence[CodedClip]) -> list[ScoreJob]:
    return [
        ScoreJob(entry.original, entry.decoded, _other(coded, i), entry.clip.domain, i) for i, entry in enumerate(coded)
    ]


def _other(coded: Sequence[CodedClip], i: int) -> Path | None:
    """The decode of the next clip of another group, or of the next clip if there is one group only."""
    following = [*coded[i + 1 :], *coded[:i]]
    strangers = [entry for entry in following if entry.clip.group != coded[i].clip.group]
    return next((entry.decoded for entry in strangers or following), None)


def _clip_result(entry: CodedClip, scores: ClipScores, target: TargetConfig) -> ClipResult:
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
        baseline=scores.baseline,
        other_codes_mel=scores.other_mel,
        container_bytes=entry.container_bytes,
    )


@dataclass(frozen=True)
class _Training:
    """Of a model's ``config.json``."""

    steps: int | None = None
    trained_on: DatasetSummary | None = None


def _trained(run: Path, codec: Codec, split: PackedSplit, channels: int) -> Trained:
    """Models of earlier versions do not say what they were trained on: they are taken to be of this data."""
    info = read_info(run)
    try:
        known = from_json(_Training, {"steps": info.get("step", info.get("steps")), **info})
    except ValueError as error:
        raise UserError(f"{run}: what its config.json says of the training is damaged ({error})") from error
    return Trained(
        sample_rate=codec.config.sample_rate,
        channels=channels,
        parameters=sum(weight.numel() for weight in codec.parameters()),
        codebooks=codec.config.quantizer.codebooks,
        codebook_size=codec.config.quantizer.size,
        fingerprint=fingerprint(codec),
        latency_ms=codec.config.latency_ms,
        steps=known.steps,
        **asdict(known.trained_on or split.summary),
        checksum=checksum(codec),
    )


def _tell(what: str) -> None:
    """Progress, where the bars are, too."""
    print(f"{what} …", file=sys.stderr, flush=True)


def _memory_mb(run: Path, sample_rate: int, channels: int) -> float | None:
    """None where it cannot be measured: all else that was evaluated is not lost for that."""
    try:
        return peak_mb(run, MEMORY_SECONDS, sample_rate, channels)
    except UserError:
        return None


def _command(
    run: Path,
    data: Path,
    out: Path,
    points: Sequence[OperatingPoint],
    beside: ReferenceSystems,
    split: str,
    again: bool,
    max_clips: int | None,
) -> str:
    words = ["codec", "evaluate", name_of(run), "--data", str(data)]
    words += ["--out", str(out)] if out != run / FOLDERS[split] else []
    words += ["--split", split] if split != "test" else []
    for option, values in (
        ("--kbps", [point.kbps for point in points if point.kbps is not None]),
        ("--codebooks", [point.codebooks for point in points if point.codebooks is not None]),
    ):
        words += [option, *(f"{value:g}" for value in values)] if values else []
    words += beside.words()
    words += ["--clips", str(max_clips)] if max_clips is not None else []
    return shlex.join(words) + (AGAIN if again else "")


def _headline(result: EvaluationResult) -> dict[str, Any]:
    """What the ledger keeps: means of the model, and of all that was judged beside it."""

    def means(row: Row) -> Mapping[str, float | None]:
        return {"kbps": row.kbps, **{name: found.mean for name, found in row.metrics.items()}}

    told = {"clips": len(result.clips), **means(result.main), "kbps": result.kbps}
    return {**told, "beside": {row.name: means(row) for row in result.others}}
