"""Coding of clips by a model through files, as users do: sound file to ``.nac`` file to sound file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codec import audio
from codec.bitstream.codes import NO_CODE
from codec.bitstream.reader import PacketReader
from codec.coding.files import decode_file, encode_file
from codec.dataset.clips import Clip
from codec.dataset.packed_split import PackedSplit
from codec.model.codec import Codec
from codec.pretrained.loaded_model import LoadedModel
from codec.runtime.progress import ProgressBar
from codec.runtime.torch_threads import torch_threads
from eval.systems.operating_point import OperatingPoint


@dataclass(frozen=True)
class CodedClip:
    """A clip coded by a codec. Bytes and times are measured, not estimated."""

    clip: Clip
    original: Path
    """Sound file."""
    coded: Path
    """The ``.nac`` file of the model."""
    decoded: Path
    """Sound file."""
    seconds: float
    bytes: int | None
    """Size of the coded file; None if unknown, as may be for audio decoded outside this evaluation."""
    encode_s: float
    decode_s: float
    container_bytes: int | None = None
    """Bytes of the container around the payload, not counted in ``bytes``."""


def code_clips(
    split: PackedSplit,
    indices: Sequence[int],
    codec: Codec,
    originals: Path,
    folder: Path,
    point: OperatingPoint,
    label: str,
) -> list[CodedClip]:
    """Encode and decode clips through files, one after the other on one thread.

    Writes ``folder/coded/*.nac`` and ``folder/decoded/*.wav``.

    Args:
        split: the clips.
        indices: indices of the clips to code.
        codec: the model.
        originals: folder of the sound files to code; missing files are written.
        folder: a folder without folders of these names.
        point: how to code.
        label: label of the progress bar.

    Returns:
        The clips in the order of ``indices``.
    """
    originals.mkdir(parents=True, exist_ok=True)
    for name in ("coded", "decoded"):
        (folder / name).mkdir(parents=True)
    coded, model = [], point.model(codec)
    seconds = sum(split.clips[index].seconds for index in indices)
    layout = "{desc} {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s [{elapsed}<{remaining}]"
    with torch_threads(1), ProgressBar(total=seconds, desc=f"code: {label}", bar_format=layout) as bar:
        for number, index in enumerate(indices):
            clip = split.clips[index]
            name = f"{index:05d}-" + re.sub(r"[^\w.-]", "_", clip.clip_id)
            original, nac = originals / f"{name}.wav", folder / "coded" / f"{name}.nac"
            decoded = folder / "decoded" / f"{name}.wav"
            if not original.exists():
                audio.write(original, split.waveform(index), split.sample_rate)
            for _ in range(1 if number else 2):  # the first time is slower than all others
                encoded = encode_file(original, nac, model, point.options)
                restored = decode_file(nac, decoded, model)
            length = clip.frames / split.sample_rate
            times = encoded.elapsed_seconds, restored.elapsed_seconds
            coded.append(CodedClip(clip, original, nac, decoded, length, nac.stat().st_size, *times))
            bar.update(clip.seconds)
    return coded


@dataclass(frozen=True)
class CodebookStatistics:
    """Usage of one codebook."""

    used: float
    """Share of its entries that occur."""
    perplexity: float
    """2 to the power of the entropy in bits of their distribution."""


@dataclass(frozen=True)
class CodeCounts:
    """Counts of the codes in some files."""

    counts: npt.NDArray[np.int64]
    """``[codebooks, size]``, for the codebooks that occur."""
    ideal_bits: float
    """Bits of the codes, and of the numbers of codes, under the model's tables."""

    def usage(self) -> list[CodebookStatistics]:
        """Compute how much of each codebook is used.

        Returns:
            One result per codebook.
        """
        found = []
        for row in self.counts:
            share = row[row > 0] / max(1, row.sum())
            found.append(CodebookStatistics(float((row > 0).mean()), float(2 ** -(share * np.log2(share)).sum())))
        return found


def count_codes(paths: Sequence[Path], codec: Codec) -> CodeCounts:
    """Count the codes in ``.nac`` files.

    Args:
        paths: paths of the files.
        codec: the model that coded them.

    Returns:
        The counts over all files.
    """
    coder, shape = LoadedModel(codec).coder, (codec.config.quantizer.codebooks, codec.config.quantizer.size)
    counts, bits = np.zeros(shape, np.int64), 0.0
    for path in ProgressBar(paths, desc="count codes", unit="clip"):
        with PacketReader(path) as reader:
            for codes in reader.codes(coder):
                bits += coder.bits(codes, reader.header.variable)
                for row, codebook in zip(counts, codes.swapaxes(0, 1)):
                    row += np.bincount(codebook[codebook != NO_CODE], minlength=shape[1])
    used = int((counts.sum(1) > 0).sum())
    return CodeCounts(counts[:used], bits)
