"""Test clips through the codec as a user's files go: sound file to ``.nac`` file to sound file."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from codec import audio
from codec.bitstream.container import Reader
from codec.checkpoint import fingerprint
from codec.files import decode_file, encode_file, range_coder
from codec.model.codec import Codec
from codec.packed import Clip, PackedSplit
from eval.results import Codebook


@dataclass(frozen=True)
class CodedClip:
    """``index`` in the split; the files ``original`` and ``decoded`` (WAV) and ``coded``; ``kbps`` and times
    are real.
    """

    index: int
    clip: Clip
    original: Path
    coded: Path
    decoded: Path
    seconds: float
    bytes: int
    encode_s: float
    decode_s: float


def choose(clips: list[Clip], most: int | None) -> list[int]:
    """At most so many clips, one from each group in turn, in an order that depends on the names alone."""
    if most is None or most >= len(clips):
        return list(range(len(clips)))

    def shuffled(text: str) -> str:
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()

    groups: dict[str, list[int]] = {}
    for index in sorted(range(len(clips)), key=lambda index: shuffled(clips[index].clip_id)):
        groups.setdefault(clips[index].group, []).append(index)
    turns = [(turn, shuffled(group), index) for group, indices in groups.items() for turn, index in enumerate(indices)]
    return sorted(index for _, _, index in sorted(turns)[:most])


@contextmanager
def one_thread() -> Iterator[None]:
    """Speeds are stated for one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def code_clips(
    split: PackedSplit, indices: list[int], codec: Codec, folder: Path, codebooks: int | None
) -> list[CodedClip]:
    """Writes ``folder/{original,decoded}/*.wav`` and ``folder/coded/*.nac``, on one thread."""
    for name in ("original", "coded", "decoded"):
        (folder / name).mkdir(parents=True)
    coded, model = [], fingerprint(codec)
    seconds = sum(split.clips[index].seconds for index in indices)
    layout = "{desc} {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s [{elapsed}<{remaining}]"
    with one_thread(), tqdm(total=seconds, desc="encode, decode", bar_format=layout) as bar:
        for number, index in enumerate(indices):
            clip = split.clips[index]
            name = f"{index:05d}-" + re.sub(r"[^\w.-]", "_", clip.clip_id)
            original, nac = folder / "original" / f"{name}.wav", folder / "coded" / f"{name}.nac"
            decoded = folder / "decoded" / f"{name}.wav"
            audio.write(original, split.wave(index).T * np.float32(1 / 32768), split.sample_rate)
            for _ in range(1 if number else 2):  # the first time is slower than all others
                encoded = encode_file(original, nac, codec, codebooks=codebooks, model=model)
                restored = decode_file(nac, decoded, codec, model=model)
            length = clip.frames / split.sample_rate
            times = encoded.elapsed_seconds, restored.elapsed_seconds
            coded.append(CodedClip(index, clip, original, nac, decoded, length, nac.stat().st_size, *times))
            bar.update(clip.seconds)
    return coded


def count_codes(paths: list[Path], codec: Codec) -> npt.NDArray[np.int64]:
    """How often each code occurs in these coded files, which are all alike: ``[codebooks, size]``."""
    coder, size = range_coder(codec), codec.config.quantizer.size
    counts: npt.NDArray[np.int64] | None = None
    for path in paths:
        with Reader(path) as reader:
            if counts is None:
                counts = np.zeros((reader.header.codebooks, size), np.int64)
            for codes in reader.codes(coder):
                for row, codebook in zip(counts, codes.swapaxes(0, 1)):
                    row += np.bincount(codebook.ravel(), minlength=size)
    assert counts is not None
    return counts


def usage(counts: npt.NDArray[np.int64]) -> list[Codebook]:
    """Of each codebook: share of its entries that occur, and 2 to the entropy in bits."""
    found = []
    for row in counts:
        share = row[row > 0] / max(1, row.sum())
        found.append(Codebook(float((row > 0).mean()), float(2 ** -(share * np.log2(share)).sum())))
    return found
