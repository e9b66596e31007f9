"""Scoring of decoded audio, the same for the clips of ``codec evaluate`` and the candidates of compare and search.

:func:`score_decode` scores every clip. ``codec evaluate`` calls it on sound files, in several processes, with matched
noise and the decoded audio of other clips as baselines (:func:`score_coded_clips`); candidates are
coded in memory and scored one by one (:func:`score_excerpt`).
"""

from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from codec import audio
from codec.audio import FloatArray
from codec.losses.noise_baseline import matched_noise
from codec.runtime.process_pool import PoolOptions, Workers, map_in_processes
from codec.runtime.torch_threads import torch_threads
from eval.evaluation.clip_selection import Excerpt
from eval.evaluation.codec_scores import ClipScores
from eval.metrics.registry import METRICS, Score, metric
from eval.systems.own import CodedClip

ALL_METRICS = tuple(entry.name for entry in METRICS)
NOISE_METRICS = ("mel", "pesq", "estoi", "stoi", "speaker_similarity", "nmr", "stft", "si_sdr")
"""Also measured on noise that is matched to the clip. ViSQOL takes too long for that."""


def score_decode(
    reference: FloatArray,
    decoded: FloatArray,
    sample_rate: int,
    domain: str,
    metrics: Collection[str] = ALL_METRICS,
    text: str = "",
) -> dict[str, Score]:
    """Score decoded audio by the metrics that are installed and meant for its clip.

    Args:
        reference: input of the codec, ``[channels, samples]``.
        decoded: output of the codec, ``[channels, samples]``.
        sample_rate: sample rate in Hz.
        domain: domain of the clip, such as ``speech``.
        metrics: names of the metrics to be considered.
        text: words that are spoken in the whole clip; empty: none are known, or they are not to be recognised.

    Returns:
        Metric to score, in the order of ``metrics``.
    """
    return {
        entry.name: entry.score(reference, decoded, sample_rate, text)
        for entry in map(metric, metrics)
        if entry.applies(domain, sample_rate, text) and not entry.absent
    }


# --- candidates, in memory ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Coding:
    """A clip that was coded and decoded in memory."""

    decoded: FloatArray
    """``[channels, samples]``."""
    bits: float
    """Bits of its codes; the coder defines how they are counted."""


def score_excerpt(excerpt: Excerpt, coding: Coding, metrics: Collection[str]) -> ClipScores:
    """Score an excerpt that was coded in memory.

    Args:
        excerpt: the original.
        coding: its decoded audio and bits.
        metrics: names of the metrics to be considered.

    Returns:
        Bits and scores.
    """
    scores = score_decode(excerpt.waveform, coding.decoded, excerpt.sample_rate, excerpt.domain, metrics, excerpt.text)
    return ClipScores(excerpt.clip_id, excerpt.group, excerpt.seconds, coding.bits, scores)


# --- evaluations, from files --------------------------------------------------------------------------------


@dataclass(frozen=True)
class ScoringJob:
    """A coded clip to be scored."""

    clip: CodedClip
    noise_seed: int | None = None
    """Seed of the matched noise of the baseline; None: no baselines."""
    unrelated: Path | None = None
    """Decoded file of another clip, of any length; scored by mel distance if there are baselines."""
    text: str = ""
    """Words for metrics that need them; empty: they are not measured."""
    metrics: Collection[str] = ALL_METRICS
    """Names of the metrics to be considered."""


@dataclass(frozen=True)
class DecodeScores:
    """Scores of a decoded clip and of its baselines."""

    decoded: dict[str, Score]
    noise: dict[str, Score]
    unrelated_mel: Score


def score_coded_clip(job: ScoringJob) -> DecodeScores:
    """Read the files of a clip and score its decoded audio.

    Args:
        job: the clip and its baselines.

    Returns:
        Scores of the clip by the metrics that apply, and of noise by those of :data:`NOISE_METRICS`.
    """
    domain = job.clip.clip.domain
    original, decoded = audio.read(job.clip.original), audio.read(job.clip.decoded)
    reference, rate = original.samples, original.sample_rate
    scores = score_decode(reference, decoded.samples, rate, domain, job.metrics, job.text)
    if job.noise_seed is None:
        return DecodeScores(scores, {}, Score(None, "not asked for"))
    unrelated = Score(None, "there is no other clip")
    if job.unrelated:
        samples = audio.read(job.unrelated).samples
        shared = min(reference.shape[1], samples.shape[1])
        unrelated = metric("mel").score(reference[:, :shared], samples[:, :shared], rate)
    noise = matched_noise(reference, rate, job.noise_seed)
    return DecodeScores(scores, score_decode(reference, noise, rate, domain, NOISE_METRICS), unrelated)


def score_coded_clips(jobs: Sequence[ScoringJob], workers: Workers) -> list[DecodeScores]:
    """Score clips in several processes with one thread each.

    Args:
        jobs: the clips.
        workers: number of processes, or a cluster; with 1, this process scores them itself.

    Returns:
        One result per job, in order.

    Raises:
        UserError: a process died.
    """
    if isinstance(workers, int):
        workers = min(workers, len(jobs))
    options = PoolOptions(workers, "score", "clip", initializer=_start_worker, advice="try fewer --workers")
    with torch_threads(1), closing(map_in_processes(score_coded_clip, jobs, options)) as results:
        return list(results)


def _start_worker() -> None:
    torch.set_num_threads(1)
    np.seterr(all="ignore")
