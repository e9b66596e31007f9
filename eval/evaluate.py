"""``codec evaluate``: the sealed test split, opened on record, coded for real, judged, reported."""

import csv
import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from codec.checkpoint import checksum, fingerprint, load_model, read_info
from codec.config import TargetConfig
from codec.errors import UserError
from codec.model.codec import Codec
from codec.packed import (
    PackedSplit,
    candidates,
    in_distribution,
    ledger,
    open_sealed_test,
    open_split,
    record_result,
)
from codec.recipe import read_recipe
from codec.training.diagnosis import diagnose_run
from eval.coding import CodedClip, OperatingPoint, choose, code_clips, count_codes, usage
from eval.metrics import METRICS
from eval.opus import check_opus, opus_clips
from eval.report import write_report
from eval.results import ClipResult, EvaluationResult, Row, Trained, build_rows, estimate_scores
from eval.scoring import ClipScores, ScoreJob, score_clips


def evaluate(
    run: Path,
    data: Path,
    *,
    out: Path | None = None,
    points: Sequence[OperatingPoint] = (),
    opus: Sequence[float] = (),
    demonstration: bool = False,
    max_clips: int | None = None,
    workers: int = 2,
) -> EvaluationResult:
    """Judges the model of ``run`` on the test split of ``data``.

    Writes into ``out`` (default ``RUN/evaluation``): report.html, results.json, clips.csv, and coded/ with
    the ``.nac`` files whose sizes the bit rate is taken from. Nothing there changes before all is done. Each
    call is a line in the ledger beside the data.

    Args:
        points: at which to code (default: with all codebooks). The first is what the report is about, the others have
            rows beside it.
        opus: bit rates in kbit/s at which the same clips are coded with Opus, for rows beside.
        demonstration: marks the opening of the test split as one.
        max_clips: judge so many clips at most, spread over the groups.
        workers: processes that judge.

    Raises:
        UserError: no run, no model or recipe in it; no data at the model's rate and channels; ``out`` not
            writable; wrong number of codebooks.
    """
    run, data = Path(run), Path(data)
    out = Path(out) if out else run / "evaluation"
    codec = load_model(run)
    if not (run / "recipe.yaml").is_file():
        raise UserError(f"{run}: no recipe.yaml; give the folder that codec train wrote")
    recipe = read_recipe(str(run / "recipe.yaml"))
    channels = recipe.data.channels
    point, *further = points or (OperatingPoint(),)
    for entry in (point, *further):
        entry.check(codec)
    if opus:
        check_opus(opus)
    if max_clips is not None and max_clips < 1:
        raise UserError(f"at least 1 clip must be judged, not {max_clips}")
    if (out / "coded").exists() and not (out / "results.json").exists():
        raise UserError(f"{out}: its folder coded is not from an evaluation; choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".work-", dir=out))
    except OSError as error:
        raise UserError(f"{out}: cannot write here ({error.strerror}); choose another --out") from error
    try:
        rate = codec.config.sample_rate
        training = open_split(data, "train", rate, channels)
        before = len(ledger(data))
        split = open_sealed_test(
            data, rate, channels, run=str(run), weights=[checksum(codec)],
            purpose="demonstration" if demonstration else "evaluation",
        )  # fmt: skip
        indices = choose(split.clips, max_clips)
        originals = work / "original"
        coded = code_clips(split, indices, codec, originals, work, point)
        scores = score_clips(_jobs(coded), workers)
        clips = [_clip_result(entry, found, recipe.target) for entry, found in zip(coded, scores)]
        rows = build_rows(clips)
        beside = {
            str(entry): code_clips(split, indices, codec, originals, work / f"point-{number}", entry)
            for number, entry in enumerate(further)
        }
        beside |= {f"Opus {rate:g}": opus_clips(coded, rate, work / f"opus-{rate:g}") for rate in opus}
        others = [_other_row(name, entries, recipe.target, workers) for name, entries in beside.items()]
        seconds = sum(clip.seconds for clip in clips)
        judged = [clip for clip in clips if clip.in_distribution] or clips
        codes = count_codes([entry.coded for entry in coded], codec)
        noise = rows[0].baseline.get("mel")
        result = EvaluationResult(
            run=str(run),
            data=str(data),
            report=out / "report.html",
            command=_command(run, data, out, points, opus, max_clips),
            made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            demonstration=demonstration,
            opened_before=before,
            candidates=candidates(data),
            clips_in_split=len(split),
            operating_point=str(point),
            kbps=8 * sum(clip.bytes for clip in clips) / seconds / 1000,
            nominal_kbps=float(codes.counts.sum()) * codec.config.bits_per_code / seconds / 1000,
            ideal_kbps=codes.ideal_bits / seconds / 1000,
            encode_times_real_time=seconds / sum(clip.encode_s for clip in clips),
            decode_times_real_time=seconds / sum(clip.decode_s for clip in clips),
            other_codes_mel=estimate_scores((clip.other_codes_mel, clip.group) for clip in judged),
            absent={
                entry.name: entry.missing
                for entry in METRICS
                if entry.absent and any(entry.applies(clip.domain, rate) for clip in clips)
            },
            trained=_trained(run, codec, training, channels),
            diagnosis=diagnose_run(run, noise.mean if noise else None),
            rows=rows,
            others=others,
            usage=usage(codes.counts),
            clips=clips,
        )
        write_report(result, coded, work / "report.html")
        (work / "results.json").write_text(json.dumps(result.to_dict(), indent=1) + "\n")
        _write_clips(work / "clips.csv", clips)
        _publish(work, out)
        record_result(data, _headline(result))
        return result
    except OSError as error:
        raise UserError(f"{out}: cannot write the evaluation ({error.strerror or error})") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _jobs(coded: Sequence[CodedClip]) -> list[ScoreJob]:
    return [
        ScoreJob(entry.original, entry.decoded, _other(coded, i), entry.clip.domain, i) for i, entry in enumerate(coded)
    ]


def _other_row(name: str, coded: Sequence[CodedClip], target: TargetConfig, workers: int) -> Row:
    """The clips that are in distribution, or all there are, coded in another way."""
    jobs = [ScoreJob(entry.original, entry.decoded, None, entry.clip.domain, 0, alone=True) for entry in coded]
    clips = [_clip_result(entry, found, target) for entry, found in zip(coded, score_clips(jobs, workers))]
    return replace(build_rows(clips)[0], name=name)


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
        kbps=8 * entry.bytes / entry.seconds / 1000,
        encode_s=entry.encode_s,
        decode_s=entry.decode_s,
        scores=scores.decoded,
        baseline=scores.baseline,
        other_codes_mel=scores.other_mel,
    )


def _trained(run: Path, codec: Codec, split: PackedSplit, channels: int) -> Trained:
    domains: dict[str, float] = {}
    for clip in split.clips:
        domains[clip.domain] = domains.get(clip.domain, 0.0) + clip.seconds
    info = read_info(run)
    steps = info.get("step", info.get("steps"))
    return Trained(
        sample_rate=codec.config.sample_rate,
        channels=channels,
        parameters=sum(weight.numel() for weight in codec.parameters()),
        codebooks=codec.config.quantizer.codebooks,
        codebook_size=codec.config.quantizer.size,
        fingerprint=fingerprint(codec),
        latency_ms=codec.config.latency_ms,
        steps=None if steps is None else int(steps),
        clips=len(split),
        groups=len({clip.group for clip in split.clips}),
        seconds=sum(domains.values()),
        domains=domains,
    )


def _command(
    run: Path, data: Path, out: Path, points: Sequence[OperatingPoint], opus: Sequence[float], max_clips: int | None
) -> str:
    words = ["codec", "evaluate", str(run), "--data", str(data)]
    words += ["--out", str(out)] if out != run / "evaluation" else []
    for option, values in (
        ("--kbps", [point.kbps for point in points if point.kbps is not None]),
        ("--codebooks", [point.codebooks for point in points if point.codebooks is not None]),
    ):
        words += [option, *(f"{value:g}" for value in values)] if values else []
    words += ["--opus", *(f"{rate:g}" for rate in opus)] if opus else []
    words += ["--clips", str(max_clips)] if max_clips is not None else []
    return shlex.join(words)


def _headline(result: EvaluationResult) -> dict[str, Any]:
    """What the ledger keeps."""
    means = {name: found.mean for name, found in result.main.metrics.items()}
    return {"clips": len(result.clips), "kbps": result.kbps, **means}


def _write_clips(path: Path, clips: Sequence[ClipResult]) -> None:
    """One row per clip; an empty cell where a metric has no value, and what failed in the last column."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        columns = "clip_id path domain group in_distribution seconds bytes kbps encode_s decode_s".split()
        names = [entry.name for entry in METRICS]
        writer.writerow([*columns, *names, "baseline_mel", "other_codes_mel", "failed"])
        for clip in clips:
            values = [score.value if (score := clip.scores.get(name)) else None for name in names]
            failed = "; ".join(f"{name}: {score.reason}" for name, score in clip.scores.items() if score.value is None)
            beside = [clip.baseline["mel"].value, clip.other_codes_mel.value]
            writer.writerow([*(getattr(clip, column) for column in columns), *values, *beside, failed])


def _publish(work: Path, out: Path) -> None:
    """Moves what is finished to its place; the report last."""
    old = work / "replaced"
    if (out / "coded").exists():
        os.replace(out / "coded", old)
    os.replace(work / "coded", out / "coded")
    for name in ("clips.csv", "results.json", "report.html"):
        os.replace(work / name, out / name)
