"""A trained candidate judged on validation clips: quality at several rates, and real bits."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from codec.audio.channels import channels_to_streams, streams_to_channels
from codec.dataset.packed import PackedSplit, open_split
from codec.errors import UserError
from codec.model.codec import CodecBase
from codec.model.frequency_tables import FrequencyTables
from codec.runtime.atomic_files import write_text
from codec.runtime.json_files import from_json, read_json
from eval.metrics.functions import Wave
from eval.metrics.registry import Score, metric
from eval.systems.own import choose

METRICS = ("pesq", "estoi", "stoi", "mel", "nmr")
SHORTEST_S, LONGEST_S = 3.2, 8.0
SCORING = "a failed decode has the worst value"
"""Kept with the scores: what was scored by other rules is scored anew."""
TABLE_CLIPS = 32
"""Training clips whose codes the frequency tables are fitted on."""


@dataclass(frozen=True)
class JudgedClip:
    clip_id: str
    group: str
    seconds: float
    bits: float
    scores: dict[str, Score]


@dataclass(frozen=True)
class Judged:
    """A run at one rate. ``nominal_kbps``: before entropy coding."""

    asked_kbps: float
    codebooks: int
    nominal_kbps: float
    clips: list[JudgedClip]

    @property
    def kbps(self) -> float:
        return sum(clip.bits for clip in self.clips) / sum(clip.seconds for clip in self.clips) / 1000


@dataclass(frozen=True)
class Excerpt:
    """``wave`` ``[channels, samples]``, the first seconds of a clip."""

    clip_id: str
    group: str
    domain: str
    wave: Wave


def excerpts(split: PackedSplit, most: int) -> list[Excerpt]:
    """At most so many clips that are long enough to be judged, spread over the groups; always the same ones."""
    long = [index for index, clip in enumerate(split.clips) if clip.frames >= SHORTEST_S * split.sample_rate]
    chosen = [long[index] for index in choose([split.clips[index] for index in long], most)]
    return [
        Excerpt(
            (clip := split.clips[index]).clip_id,
            clip.group,
            clip.domain,
            split.waveform(index, 0, int(LONGEST_S * split.sample_rate)),
        )
        for index in chosen
    ]


def fit_tables(codes: Tensor, size: int) -> FrequencyTables:
    """The range coder's tables for codes ``[quantizers, number]``, whatever the architecture they come from."""
    tables = FrequencyTables(len(codes), size)
    tables.fit(torch.stack([torch.bincount(row, minlength=size) for row in codes]))
    return tables


def coded_bits(codes: Tensor, tables: FrequencyTables) -> float:
    """Bits that codes ``[quantizers, number]`` cost under the tables: their cross entropy."""
    return float(tables.bits[: len(codes)].gather(1, codes).sum())


@dataclass(frozen=True)
class _Coded:
    decoded: Wave
    codes: Tensor


@torch.no_grad()
def _code(codec: CodecBase, wave: Wave, codebooks: int) -> _Coded:
    """``[channels, samples]`` through the codec; codes ``[quantizers, channels * frames]``."""
    stereo = codec.config.stereo
    streams = torch.from_numpy(channels_to_streams(np.ascontiguousarray(wave), stereo)).to(
        next(codec.parameters()).device
    )
    decoded, codes = codec.round_trip(streams, codebooks)
    return _Coded(streams_to_channels(decoded.cpu().numpy(), stereo), codes.transpose(0, 1).flatten(1).cpu())


def judge(
    codec: CodecBase,
    data: Path,
    channels: int,
    kbps: Sequence[float],
    most: int,
    name: str,
    metrics: Sequence[str] = METRICS,
) -> list[Judged]:
    """Codes and judges validation clips at each of the rates, with the number of codebooks that comes nearest.

    Raises ``UserError`` where no clip is long enough.
    """
    config = codec.config
    train, validation = (open_split(data, split, config.sample_rate, channels) for split in ("train", "val"))
    clips = excerpts(validation, most)
    if not clips:
        raise UserError(f"{data}: no validation clip lasts {SHORTEST_S:g} s; prepare longer recordings")
    codec = codec.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    full, per_codebook = config.quantizer.codebooks, config.kbps_per_codebook * channels
    learnt = excerpts(train, TABLE_CLIPS)
    with tqdm(total=len(learnt) + len(kbps) * len(clips), desc=f"judge {name}", unit="clip") as bar:

        def code(wave: Wave, codebooks: int) -> _Coded:
            bar.update()
            return _code(codec, wave, codebooks)

        counted = [code(clip.wave, full).codes for clip in learnt]
        nothing = torch.zeros(full, 0, dtype=torch.int64)
        tables = fit_tables(torch.cat([nothing, *counted], 1), config.quantizer.size)
        judged = []
        for asked in kbps:
            codebooks = min(full, max(1, round(asked / per_codebook)))
            found = []
            for clip in clips:
                coded = code(clip.wave, codebooks)
                bits = coded_bits(coded.codes, tables)
                found.append(judge_clip(clip, coded.decoded, bits, config.sample_rate, metrics))
            judged.append(Judged(asked, codebooks, codebooks * per_codebook, found))
    return judged


def judge_clip(clip: Excerpt, decoded: Wave, bits: float, sample_rate: int, metrics: Sequence[str]) -> JudgedClip:
    """By those of the metrics that are installed and meant for it."""
    meant = [metric(name) for name in metrics]
    return JudgedClip(
        clip.clip_id,
        clip.group,
        clip.wave.shape[1] / sample_rate,
        bits,
        {
            entry.name: entry.score(clip.wave, decoded, sample_rate)
            for entry in meant
            if entry.applies(clip.domain, sample_rate) and not entry.absent
        },
    )


# --- kept beside the run ------------------------------------------------------------------------------------


def write_judged(path: Path, judged: Sequence[Judged], asked: dict[str, Any]) -> None:
    """``asked``: what was to be judged; :func:`read_judged` reads the file for just that."""
    content = {"scoring": SCORING, "asked": asked, "judged": [asdict(entry) for entry in judged]}
    write_text(path, json.dumps(content) + "\n")


def read_judged(path: Path, asked: dict[str, Any]) -> list[Judged] | None:
    """What was judged before, or None if it was not, or not this."""
    try:
        content = read_json(path)
        if content["asked"] != asked or content.get("scoring") != SCORING:
            return None
        return [from_json(Judged, entry) for entry in content["judged"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
