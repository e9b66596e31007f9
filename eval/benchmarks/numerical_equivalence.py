"""Numerical equivalence of codes and decoded audio between ways to run a model: number of threads, blocks of a stream,
precision of the decoder, ONNX Runtime, a GPU.

``python -m eval.benchmarks.numerical_equivalence MODEL FILE …`` prints a table in Markdown. The reference is the
configuration that files are coded with: canonical blocks, one thread, float32, on the CPU.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codec import audio
from codec.api import load
from codec.audio_codec import AudioCodec
from codec.errors import UserError
from codec.model.decoder_dtypes import DTYPES, GRAPH_DTYPES
from codec.pretrained.registry import ONNX
from codec.runtime.progress import ProgressBar
from codec.runtime.torch_threads import torch_threads

_Codes = npt.NDArray[np.int64]
_PUSHED_SAMPLES, _PUSHED_FRAMES = 997, 7
"""Sizes of the pieces that streams are given: primes, which fit no block."""


@dataclass(frozen=True)
class RunConfiguration:
    """A way to run a model."""

    device: str = "cpu"
    dtype: str = "float32"
    """Precision of the decoder."""
    threads: int = 1
    block: int | None = None
    """Latent frames that a stream computes at once; None: whole files."""

    @property
    def name(self) -> str:
        """The configuration in words.

        >>> RunConfiguration(block=16).name
        'float32, 1 thread, cpu, stream, blocks of 16 frames'
        """
        how = "whole" if self.block is None else f"stream, blocks of {self.block} frames"
        return f"{self.dtype}, {self.threads} thread{'s' * (self.threads > 1)}, {self.device}, {how}"


REFERENCE_CONFIGURATION = RunConfiguration()


@dataclass(frozen=True)
class NumericalEquivalence:
    """Comparison of one configuration with the reference."""

    configuration: RunConfiguration
    codes: float
    """Share of equal codes."""
    first_codes: float
    """Share of equal codes of the first codebook. If one differs, later codes of its frame code another remainder."""
    max_difference: float
    """Largest difference between the waveforms decoded from the reference's codes; full scale is 1."""
    snr_db: float
    """Power of the reference's waveform over that of the difference; infinite if they are equal bit for bit."""


@dataclass(frozen=True)
class _Coded:
    codes: list[_Codes]
    waveforms: list[audio.FloatArray]


def compare_configurations(
    model: str | Path, clips: Sequence[audio.Audio], configurations: Sequence[RunConfiguration]
) -> list[NumericalEquivalence]:
    """Compare configurations with the reference.

    Args:
        model: name of a built-in model, or folder of a model.
        clips: audio to code.
        configurations: configurations to compare.

    Returns:
        One comparison per configuration.

    Raises:
        UserError: the model or a device cannot be used.
    """
    expected = _code(model, clips, REFERENCE_CONFIGURATION, None)
    return [
        _compare(configuration, expected, _code(model, clips, configuration, expected.codes))
        for configuration in ProgressBar(configurations, desc="numerical equivalence")
    ]


def _code(
    model: str | Path, clips: Sequence[audio.Audio], configuration: RunConfiguration, given: list[_Codes] | None
) -> _Coded:
    """Encode the clips, and decode the codes that are ``given``, or else these."""
    threads = configuration.threads
    codec = load(model, device=configuration.device, dtype=configuration.dtype, threads=threads)
    with torch_threads(threads):
        codes = [_encode(codec, clip, configuration.block) for clip in clips]
        return _Coded(codes, [_decode(codec, each, configuration.block) for each in given or codes])


def _encode(codec: AudioCodec, clip: audio.Audio, block: int | None) -> _Codes:
    waveform, rate = clip.samples, clip.sample_rate
    if block is None:
        return codec.encode(waveform, rate).codes
    stream = codec.stream_encoder(rate, len(waveform), block=block)
    starts = range(0, waveform.shape[1], _PUSHED_SAMPLES)
    parts = [stream.push(waveform[:, start : start + _PUSHED_SAMPLES]) for start in starts]
    return np.concatenate([*parts, stream.flush()], 2)


def _decode(codec: AudioCodec, codes: _Codes, block: int | None) -> audio.FloatArray:
    """Return a waveform at the model's rate."""
    if block is None:
        return np.asarray(codec.decode(codes), np.float32)
    stream = codec.stream_decoder(channels=len(codes), block=block)
    parts = [stream.push(codes[..., at : at + _PUSHED_FRAMES]) for at in range(0, codes.shape[2], _PUSHED_FRAMES)]
    return np.concatenate([*parts, stream.flush()], 1)


def _compare(configuration: RunConfiguration, expected: _Coded, found: _Coded) -> NumericalEquivalence:
    equal = [one == other for one, other in zip(expected.codes, found.codes)]
    truth = np.concatenate([waveform.ravel() for waveform in expected.waveforms]).astype(np.float64)
    difference = np.concatenate([waveform.ravel() for waveform in found.waveforms]) - truth
    with np.errstate(divide="ignore"):
        snr_db = 10 * np.log10(np.square(truth).sum() / np.square(difference).sum())
    return NumericalEquivalence(
        configuration,
        codes=float(np.concatenate([each.ravel() for each in equal]).mean()),
        first_codes=float(np.concatenate([each[:, 0].ravel() for each in equal]).mean()),
        max_difference=float(np.abs(difference).max()),
        snr_db=float(snr_db),
    )


def equivalence_table(found: Sequence[NumericalEquivalence]) -> str:
    """Return comparisons as a table in Markdown.

    Args:
        found: comparisons, a row each.

    Returns:
        The lines of the table.
    """
    lines = ["| computed with | equal codes | equal first codes | largest difference of the waveform | SNR, dB |"]
    lines += ["|---|---:|---:|---:|---:|"]
    for one in found:
        shares = f"{100 * one.codes:.4f} % | {100 * one.first_codes:.4f} %"
        lines.append(f"| {one.configuration.name} | {shares} | {one.max_difference:.1e} | {one.snr_db:.0f} |")
    return "\n".join(lines)


def standard_configurations(device: str) -> list[RunConfiguration]:
    """Return the configurations that the command compares.

    Args:
        device: ``cpu``, or another device to compare in addition: ``onnx``, or one of PyTorch such as ``cuda``.

    Returns:
        Threads, blocks and precisions on the CPU, and then the configurations of the other device.

    >>> [one.name for one in standard_configurations("onnx")[-1:]]
    ['float32, 1 thread, onnx, stream, blocks of 1 frames']
    """
    found = [RunConfiguration(threads=2), *(RunConfiguration(block=block) for block in (1, 16, 256))]
    found += [RunConfiguration(dtype=dtype) for dtype in DTYPES if dtype != "float32"]
    if device == ONNX:
        return [*found, *(RunConfiguration(device, dtype) for dtype in GRAPH_DTYPES), RunConfiguration(device, block=1)]
    if device == "cpu":
        return found
    return [*found, *(RunConfiguration(device, dtype) for dtype in DTYPES if dtype not in ("int8", "exact"))]


def read_first_seconds(files: Sequence[Path], seconds: float) -> list[audio.Audio]:
    """Read files until they make up a duration.

    Args:
        files: audio files.
        seconds: total duration; the last file that is needed is cut.

    Returns:
        The audio of one file after the other.

    Raises:
        UserError: a file cannot be read.
    """
    clips: list[audio.Audio] = []
    for path in files:
        clip = audio.read(path)
        part = clip.samples[:, : round(seconds * clip.sample_rate)]
        if not part.shape[1]:
            break
        seconds -= part.shape[1] / clip.sample_rate
        clips.append(audio.Audio(part, clip.sample_rate))
    return clips


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m eval.benchmarks.numerical_equivalence",
        description="Print how far codes and decoded audio are equal if a model is run with other threads, in blocks of"
        " a stream, in another precision, or on another device. The reference is one CPU thread in float32.",
    )
    parser.add_argument("model", help="name of a built-in model, or folder of a run or model")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="audio files")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="total duration of the audio that is used (default: %(default)g)"
    )
    parser.add_argument(
        "--device", default="cpu", help="device to compare in addition to the CPU, such as cuda or onnx"
    )
    arguments = parser.parse_args()
    try:
        clips = read_first_seconds(arguments.files, arguments.seconds)
        print(
            equivalence_table(compare_configurations(arguments.model, clips, standard_configurations(arguments.device)))
        )
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    _main()
