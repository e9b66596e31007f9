"""Frequency tables of the range coder, fitted to codes of the training split when training is over."""

from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from codec.channels import fold
from codec.model.codec import Codec
from codec.packed import PackedSplit

SECONDS = 1200.0
PIECE_S = 30.0
SEED = 30_000


@dataclass(frozen=True)
class Fitted:
    """What the tables were fitted to; stands in the model's ``config.json``."""

    seconds: float
    frames: int
    """Latent frames, over all streams."""


@torch.inference_mode()
def fit_tables(codec: Codec, split: PackedSplit, *, quiet: bool = False) -> Fitted:
    """Fits ``codec.tables`` to the codes of the split at all codebooks: of all of it, or of pieces drawn from it that
    make twenty minutes and depend on nothing but the split."""
    rate, config = split.sample_rate, codec.config
    length = round(PIECE_S * rate)
    pieces = [(i, at) for i, clip in enumerate(split.clips) for at in range(0, clip.frames, length)]
    counts = torch.zeros(config.quantizer.codebooks, config.quantizer.size, dtype=torch.int64)
    samples = frames = 0
    most = round(SECONDS * rate)
    layout = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} s [{elapsed}<{remaining}]"
    total = min(most, sum(clip.frames for clip in split.clips)) // rate
    with tqdm(total=total, desc="code statistics", bar_format=layout, disable=quiet) as bar:
        for index in np.random.default_rng(SEED).permutation(len(pieces)):
            clip, start = pieces[index]
            wave = split.wave(clip, start, min(length, most - samples)).T.astype(np.float32) / 32768
            codes = codec.encode(fold(torch.from_numpy(wave), config.stereo))
            for row, codebook in zip(counts, codes.transpose(0, 1)):
                row += torch.bincount(codebook.flatten(), minlength=config.quantizer.size)
            samples, frames = samples + wave.shape[1], frames + codes.shape[0] * codes.shape[2]
            bar.update(samples // rate - bar.n)
            if samples >= most:
                break
    codec.tables.fit(counts)
    return Fitted(samples / rate, frames)
