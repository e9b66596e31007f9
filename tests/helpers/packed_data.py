"""Packed data as ``codec prepare`` writes it, made by hand, and runs of small untrained models for it."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml

from codec.config import CodecConfig, NetworkConfig, QuantizerConfig
from codec.dataset.packed import packed_folder
from codec.model.codec import Codec
from codec.pretrained.checkpoint import save_model

RATE = 16000
_COLUMNS = (
    "clip_id shard start frames path domain group seconds rms_dbfs bandwidth_hz noise_dbfs sha256 source licence"
    " language text"
).split()


@dataclass(frozen=True)
class MadeClip:
    """A clip of :func:`pack_clips`; ``rms_dbfs``: as the table states it, whatever the samples."""

    domain: str
    group: str
    samples: np.ndarray
    rms_dbfs: float = -20.0
    source: str = ""
    licence: str = ""
    language: str = ""
    text: str = ""


def pack_clips(data: Path, split: str, clips: Sequence[MadeClip]) -> None:
    """Write a split of one shard; the clips, int16 ``[samples]``, are called after the split: test0, test1, …"""
    folder = packed_folder(data, RATE, 1)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{split}-00000.npy", np.concatenate([clip.samples for clip in clips])[:, None])
    starts = np.cumsum([0, *(len(clip.samples) for clip in clips)])
    with (folder / f"{split}.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(_COLUMNS)
        for i, clip in enumerate(clips):
            name, length = f"{split}{i}", len(clip.samples)
            place = [name, f"{split}-00000.npy", starts[i], length, f"/somewhere/{name}.flac"]
            measured = [length / RATE, clip.rms_dbfs, 7900.0, -70.0, name]
            table.writerow(
                [*place, clip.domain, clip.group, *measured, clip.source, clip.licence, clip.language, clip.text]
            )
    (folder / "packed.json").write_text(json.dumps({"sample_rate": RATE, "channels": 1, "version": 1}))


def pack_tones(data: Path, split: str, clips: Sequence[tuple[str, str, float, float]]) -> None:
    """Write a split of :func:`tones`; each clip: domain, group, seconds, RMS level as the table states it."""
    made = [
        MadeClip(domain, group, tones(seed_of(split, i), seconds), level)
        for i, (domain, group, seconds, level) in enumerate(clips)
    ]
    pack_clips(data, split, made)


def seed_of(split: str, index: int) -> int:
    """The seed of the tones of a clip of :func:`pack_tones`."""
    return {"train": 0, "test": 100, "val": 200}[split] + index


def tones(seed: int, seconds: float) -> np.ndarray:
    """Twelve tones in syllables and a little noise, int16 ``[samples]``."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    mix = sum(np.sin(2 * np.pi * f * t + p) / f for f, p in zip(rng.uniform(90, 3000, 12), rng.uniform(0, 6, 12)))
    syllables = np.clip(np.sin(2 * np.pi * 3 * t), 0.05, 1)
    return ((mix / np.abs(mix).max() * syllables + 0.002 * rng.standard_normal(len(t))) * 9000).astype(np.int16)


def float_waveform(samples: np.ndarray) -> np.ndarray:
    """int16 ``[samples]`` as float32 ``[1, samples]``."""
    return (samples[None] / np.float32(32768)).astype(np.float32)


def save_small_run(
    folder: Path, target: Mapping[str, object], seed: int = 0, info: Mapping[str, object] | None = None
) -> Path:
    """Write the folder of a run: a small untrained FSQ model of 4 codebooks, and a recipe with this target."""
    torch.manual_seed(seed)
    small = NetworkConfig(width=16, depth=1)
    quantizer = QuantizerConfig(kind="fsq", codebooks=4)
    config = CodecConfig(sample_rate=RATE, encoder=small, decoder=small, quantizer=quantizer)
    save_model(folder / "model", Codec(config).eval(), dict(info or {}))
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"data": {"channels": 1}, "target": dict(target)}))
    return folder
