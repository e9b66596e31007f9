"""Test clips through the codec as a user's files go: sound file to ``.nac`` file to sound file."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from codec import audio
from codec.bitstream.container import Reader
from codec.coding.files import choose_codebooks, decode_file, encode_file, range_coder
from codec.dataset.packed import Clip, PackedSplit
from codec.model.codec import Codec
from codec.model.quantizers import NO_CODE
from codec.pretrained.checkpoint import fingerprint
from eval.evaluation.results import Codebook


@dataclass(frozen=True)
class CodedClip:
    """``index`` in the split; the files ``original`` and ``decoded`` (WAV) and ``coded``; ``bytes`` and times
    are real. ``bytes``: None where nobody knows. ``container_bytes``: of a file around them, not counted in them.
    """

    index: int
    clip: Clip
    original: Path
    coded: Path
    decoded: Path
    seconds: float
    bytes: int | None
    encode_s: float
    decode_s: float
    container_bytes: int | None = None


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


@dataclass(frozen=True)
class OperatingPoint:
    """How to code: at a bit rate, with a number of codebooks, or (neither) with all."""

    kbps: float | None = None
    codebooks: int | None = None

    def __str__(self) -> str:
        if self.kbps is not None:
            return f"{self.kbps:g} kbps"
        return "all codebooks" if self.codebooks is None else f"{self.codebooks} codebooks"

    def check(self, codec: Codec) -> None:
        """Raises ``UserError`` where the model has no such point."""
        choose_codebooks(codec, 1, kbps=self.kbps, codebooks=self.codebooks)


def code_clips(
    split: PackedSplit,
    indices: list[int],
    codec: Codec,
    originals: Path,
    folder: Path,
    point: OperatingPoint,
    label: str,
) -> list[CodedClip]:
    """Writes ``folder/decoded/*.wav`` and ``folder/coded/*.nac``, on one thread; and into ``originals`` what is not
    there yet. ``label``: what the progress bar says."""
    originals.mkdir(parents=True, exist_ok=True)
    for name in ("coded", "decoded"):
        (folder / name).mkdir(parents=True)
    coded, model = [], fingerprint(codec)
    seconds = sum(split.clips[index].seconds for index in indices)
    layout = "{desc} {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s [{elapsed}<{remaining}]"
    coder = range_coder(codec)
    with one_thread(), tqdm(total=seconds, desc=f"code: {label}", bar_format=layout) as bar:
        for number, index in enumerate(indices):
            clip = split.clips[index]
            name = f"{index:05d}-" + re.sub(r"[^\w.-]", "_", clip.clip_id)
            original, nac = originals / f"{name}.wav", folder / "coded" / f"{name}.nac"
            decoded = folder / "decoded" / f"{name}.wav"
            if not original.exists():
                audio.write(original, split.waveform(index), split.sample_rate)
            for _ in range(1 if number else 2):  # the first time is slower than all others
                encoded = encode_file(original, nac, codec, **asdict(point), model=model, coder=coder)
                restored = decode_file(nac, decoded, codec, model=model, coder=coder)
            length = clip.frames / split.sample_rate
            times = encoded.elapsed_seconds, restored.elapsed_seconds
            coded.append(CodedClip(index, clip, original, nac, decoded, length, nac.stat().st_size, *times))
            bar.update(clip.seconds)
    return coded


@dataclass(frozen=True)
class CodeCounts:
    """``counts`` ``[codebooks, size]``: how often each code occurs. ``ideal_bits``: what codes, and numbers of codes,
    cost under the model's tables."""

    counts: npt.NDArray[np.int64]
    ideal_bits: float


def count_codes(paths: list[Path], codec: Codec) -> CodeCounts:
    """Over coded files."""
    coder, shape = range_coder(codec), (codec.config.quantizer.codebooks, codec.config.quantizer.size)
    counts, bits = np.zeros(shape, np.int64), 0.0
    for path in tqdm(paths, desc="count codes", unit="clip"):
        with Reader(path) as reader:
            for codes in reader.codes(coder):
                bits += coder.bits(codes, reader.header.variable)
                for row, codebook in zip(counts, codes.swapaxes(0, 1)):
                    row += np.bincount(codebook[codebook != NO_CODE], minlength=shape[1])
    used = int((counts.sum(1) > 0).sum())
    return CodeCounts(counts[:used], bits)


def usage(counts: npt.NDArray[np.int64]) -> list[Codebook]:
    """Of each codebook: share of its entries that occur, and 2 to the entropy in bits."""
    found = []
    for row in counts:
        share = row[row > 0] / max(1, row.sum())
        found.append(Codebook(float((row > 0).mean()), float(2 ** -(share * np.log2(share)).sum())))
    return found
