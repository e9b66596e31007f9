"""How far codes and sound agree where the same computation is done in another way: more threads, other pieces, another
precision of the decoder, ONNX Runtime, a GPU. ``python -m eval.benchmarks.numerical_agreement MODEL FILE …`` prints
a table in Markdown.

What is compared with is what files are made by: canonical blocks, one thread, float32, on the CPU.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from codec import audio
from codec.api import DTYPES, AudioCodec, load
from codec.errors import UserError
from codec.pretrained.registry import ONNX

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Way:
    """To compute. ``block``: latent frames at once, of a stream whose sound comes in pieces of 997 samples; None for
    whole files."""

    device: str = "cpu"
    dtype: str = "float32"
    threads: int = 1
    block: int | None = None

    @property
    def name(self) -> str:
        how = "whole" if self.block is None else f"stream, blocks of {self.block} frames"
        return f"{self.dtype}, {self.threads} thread{'s' * (self.threads > 1)}, {self.device}, {how}"


REFERENCE = Way()


@dataclass(frozen=True)
class Agreement:
    """With the reference. Of two files that are bit for bit the same, ``snr_db`` is infinite."""

    way: Way
    codes: float
    """Share of the codes that are equal."""
    first_codes: float
    """Share of those of the first codebook; where one differs, the others of its frame need not agree."""
    max_difference: float
    """Of the sound decoded from the reference's codes, full scale being 1."""
    snr_db: float
    """The reference's sound over that difference."""


@dataclass(frozen=True)
class _Coded:
    codes: list[Codes]
    sounds: list[audio.FloatArray]


def agreements(model: str | Path, sounds: Sequence[audio.Audio], ways: Sequence[Way]) -> list[Agreement]:
    """One for each of the ways. Raises ``UserError`` for a model or device that cannot be used."""
    expected = _coded(model, sounds, REFERENCE, None)
    return [
        _agreement(way, expected, _coded(model, sounds, way, expected.codes)) for way in tqdm(ways, desc="agreement")
    ]


def _coded(model: str | Path, sounds: Sequence[audio.Audio], way: Way, given: list[Codes] | None) -> _Coded:
    """The codes of the sounds, and what is decoded from those that are ``given``, or else from these."""
    codec = load(model, device=way.device, dtype=way.dtype, threads=way.threads)
    before = torch.get_num_threads()
    torch.set_num_threads(way.threads)
    try:
        codes = [_encode(codec, sound, way.block) for sound in sounds]
        return _Coded(codes, [_decode(codec, each, way.block) for each in given or codes])
    finally:
        torch.set_num_threads(before)


def _encode(codec: AudioCodec, sound: audio.Audio, block: int | None) -> Codes:
    wave, rate = sound.samples, sound.sample_rate
    if block is None:
        return codec.encode(wave, rate).codes
    stream = codec.stream_encoder(rate, len(wave), block=block)
    parts = [stream.push(wave[:, start : start + 997]) for start in range(0, wave.shape[1], 997)]
    return torch.cat([*parts, stream.flush()], 2).cpu().numpy()


def _decode(codec: AudioCodec, codes: Codes, block: int | None) -> audio.FloatArray:
    """At the model's rate."""
    if block is None:
        return np.asarray(codec.decode(codes), np.float32)
    stream = codec.stream_decoder(channels=len(codes), block=block)
    parts = [stream.push(part) for part in torch.from_numpy(codes).split(7, 2)]
    return np.concatenate([*parts, stream.flush()], 1)


def _agreement(way: Way, expected: _Coded, found: _Coded) -> Agreement:
    equal = [one == other for one, other in zip(expected.codes, found.codes)]
    truth = np.concatenate([sound.ravel() for sound in expected.sounds]).astype(np.float64)
    difference = np.concatenate([sound.ravel() for sound in found.sounds]) - truth
    with np.errstate(divide="ignore"):
        snr_db = 10 * np.log10(np.square(truth).sum() / np.square(difference).sum())
    return Agreement(
        way,
        codes=float(np.concatenate([each.ravel() for each in equal]).mean()),
        first_codes=float(np.concatenate([each[:, 0].ravel() for each in equal]).mean()),
        max_difference=float(np.abs(difference).max()),
        snr_db=float(snr_db),
    )


def table(found: Sequence[Agreement]) -> str:
    """In Markdown."""
    lines = ["| computed with | equal codes | equal first codes | largest difference of the sound | SNR, dB |"]
    lines += ["|---|---:|---:|---:|---:|"]
    for one in found:
        shares = f"{100 * one.codes:.4f} % | {100 * one.first_codes:.4f} %"
        lines.append(f"| {one.way.name} | {shares} | {one.max_difference:.1e} | {one.snr_db:.0f} |")
    return "\n".join(lines)


def usual_ways(device: str) -> list[Way]:
    """What is compared on the CPU; and what there is on another ``device``: precisions, or with ONNX streams."""
    ways = [Way(threads=2), *(Way(block=block) for block in (1, 16, 256))]
    ways += [Way(dtype=dtype) for dtype in DTYPES if dtype != "float32"]
    if device == ONNX:
        return [*ways, Way(device), Way(device, block=1)]
    return ways if device == "cpu" else [*ways, *(Way(device, dtype) for dtype in DTYPES)]


def first_seconds(files: Sequence[Path], seconds: float) -> list[audio.Audio]:
    """The files, as many as make up so much sound, the last of them cut. Raises ``UserError`` for one that cannot be
    read."""
    sounds: list[audio.Audio] = []
    for path in files:
        sound = audio.read(path)
        part = sound.samples[:, : round(seconds * sound.sample_rate)]
        if not part.shape[1]:
            break
        seconds -= part.shape[1] / sound.sample_rate
        sounds.append(audio.Audio(part, sound.sample_rate))
    return sounds


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m eval.benchmarks.numerical_agreement", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("model", help="a built-in model, or the folder of a run or model")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="sound")
    parser.add_argument("--seconds", type=float, default=60.0, help="of sound that are taken (%(default)g)")
    parser.add_argument("--device", default="cpu", help="that is compared, too, such as cuda or onnx")
    arguments = parser.parse_args()
    try:
        sounds = first_seconds(arguments.files, arguments.seconds)
        print(table(agreements(arguments.model, sounds, usual_ways(arguments.device))))
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
