"""Clips scored concurrently in processes of their own, one thread each."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from codec import audio
from codec.losses.noise_baseline import matched_noise
from codec.runtime.process_pool import map_in_processes
from eval.metrics.registry import METRICS, Score, metric

BASELINE = ("mel", "pesq", "estoi", "stoi", "nmr", "stft", "si_sdr")
"""Measured on shaped noise too. ViSQOL takes too long for that."""


@dataclass(frozen=True)
class ScoreJob:
    """Sound files of one length. ``other`` is another clip's decode, of any length. ``alone``: judge the decode, and
    neither noise nor that other one."""

    original: Path
    decoded: Path
    other: Path | None
    domain: str
    seed: int
    alone: bool = False


@dataclass(frozen=True)
class ClipScores:
    decoded: dict[str, Score]
    baseline: dict[str, Score]
    other_mel: Score


def score_clip(job: ScoreJob) -> ClipScores:
    """Every installed metric meant for the clip, on its decode and on noise; mel on another's decode."""
    original, decoded = audio.read(job.original), audio.read(job.decoded)
    wave, rate = original.samples, original.sample_rate
    meant = [entry for entry in METRICS if entry.applies(job.domain, rate) and not entry.absent]
    scores = {entry.name: entry.score(wave, decoded.samples, rate) for entry in meant}
    if job.alone:
        return ClipScores(scores, {}, Score(None, "not asked for"))
    noise = matched_noise(wave, rate, job.seed)
    other = Score(None, "there is no other clip")
    if job.other:
        samples = audio.read(job.other).samples
        shared = min(wave.shape[1], samples.shape[1])
        other = metric("mel").score(wave[:, :shared], samples[:, :shared], rate)
    return ClipScores(
        scores,
        {entry.name: entry.score(wave, noise, rate) for entry in meant if entry.name in BASELINE},
        other,
    )


def score_clips(jobs: Sequence[ScoreJob], workers: int) -> list[ClipScores]:
    """One result per job, in order. Ctrl-C ends the processes."""
    workers = min(workers, len(jobs))
    if workers <= 1:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return _collect(map(score_clip, jobs), len(jobs))
        finally:
            torch.set_num_threads(before)
    advice = "try fewer --workers"
    results = map_in_processes(score_clip, jobs, workers, advice=advice, start=_start_worker)
    with closing(results):
        return _collect(results, len(jobs), f"judge: starting {workers} processes")


def _collect(results: Iterable[ClipScores], total: int, first: str = "judge") -> list[ClipScores]:
    """``first``: shown until there is a result."""
    found = []
    with tqdm(total=total, desc=first, unit="clip") as bar:
        for scores in results:
            bar.set_description("judge", refresh=False)
            bar.update()
            found.append(scores)
    return found


def _start_worker() -> None:
    torch.set_num_threads(1)
    np.seterr(all="ignore")
