"""Bit rates of files by their length: asked for and reached, and the share of headers and checksums.

``python -m eval.benchmarks.short_files MODEL FOLDER --out docs/results/short_files.md`` encodes the first seconds of
some audio files in FOLDER; those that are shorter are repeated.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codec import audio
from codec.batch.inputs import AUDIO_FILES, find_inputs
from codec.coding.files import encode_file
from codec.coding.options import CodingOptions
from codec.errors import UserError
from codec.pretrained.loaded_model import LoadedModel
from codec.pretrained.registry import load_model
from codec.runtime.atomic_files import write_text
from codec.runtime.command import command_line
from codec.runtime.progress import ProgressBar
from codec.runtime.torch_threads import torch_threads
from eval.pages.text_table import Table

SECONDS = (1.0, 2.0, 3.0, 4.0, 10.0, 600.0)
LONG_S = 60.0
"""Of files of this duration and more, a single one is encoded."""


@dataclass(frozen=True)
class LengthPoint:
    """Files of one length at one bit rate."""

    seconds: float
    asked_kbps: float
    kbps: list[float]
    """Bit rate of each file in kbit/s, all of its bits included."""
    overhead: list[float]
    """Share of headers, lengths, checksums and index in the bits of each file."""


def measure_lengths(
    model: LoadedModel, sources: Sequence[Path], seconds: Sequence[float], kbps: Sequence[float]
) -> list[LengthPoint]:
    """Encode the start of files at several lengths and bit rates.

    Args:
        model: encodes.
        sources: audio files.
        seconds: lengths in seconds.
        kbps: target bit rates.

    Returns:
        A point for each length and bit rate.

    Raises:
        UserError: a source cannot be read.
    """
    points = []
    with tempfile.TemporaryDirectory() as folder, ProgressBar(total=len(seconds) * len(kbps), desc="encode") as bar:
        for length in seconds:
            used = sources[:1] if length >= LONG_S else sources
            clips = [_write_clip(source, length, Path(folder) / f"{number}.wav") for number, source in enumerate(used)]
            for rate in kbps:
                coded = Path(folder) / "coded.nac"
                reports = [encode_file(clip, coded, model, CodingOptions(kbps=rate)) for clip in clips]
                overhead = [report.bytes_overhead / report.bytes_total for report in reports]
                points.append(LengthPoint(length, rate, [report.kbps for report in reports], overhead))
                bar.update()
    return points


def _write_clip(source: Path, seconds: float, target: Path) -> Path:
    found = audio.read(source)
    samples = round(seconds * found.sample_rate)
    repeated = np.tile(found.samples, -(-samples // found.samples.shape[1]))
    audio.write(target, repeated[:, :samples], found.sample_rate)
    return target


def lengths_table(points: Sequence[LengthPoint]) -> Table:
    """Return the bit rates as a table.

    Args:
        points: from :func:`measure_lengths`.

    Returns:
        A row per length and bit rate.
    """
    return Table(
        "Short and long files",
        "Bit rates in kbit/s of whole files, with all headers, checksums and the index: the mean, the lowest and the"
        " highest of the files, and the share of everything but the codes.",
        ["seconds", "asked", "reached", "lowest", "highest", "deviation, %", "overhead, %"],
        [
            [
                f"{point.seconds:g}",
                f"{point.asked_kbps:g}",
                f"{np.mean(point.kbps):.3f}",
                f"{min(point.kbps):.3f}",
                f"{max(point.kbps):.3f}",
                f"{100 * max(abs(rate / point.asked_kbps - 1) for rate in point.kbps):.1f}",
                f"{100 * np.mean(point.overhead):.1f}",
            ]
            for point in points
        ],
    )


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m eval.benchmarks.short_files",
        description="Encode the start of audio files at several lengths and bit rates, and print the bit rates that"
        " whole files have, and the share of headers and checksums.",
    )
    parser.add_argument("model", help="name of a built-in model, or folder of a run or model")
    parser.add_argument("folder", type=Path, help="folder of audio files")
    parser.add_argument("--files", type=int, default=10, help="number of files, spread evenly (default: %(default)s)")
    parser.add_argument("--seconds", type=float, nargs="+", default=SECONDS, help="lengths of the files in seconds")
    parser.add_argument(
        "--kbps", type=float, nargs="+", default=[0.75, 1.5, 3.0, 6.0], help="target bit rates (default: 0.75 1.5 3 6)"
    )
    parser.add_argument("--out", type=Path, help="also write the table as a page in Markdown")
    arguments = parser.parse_args()
    try:
        files = [path for path, _ in find_inputs([arguments.folder], AUDIO_FILES).files]
        sources = files[:: max(1, len(files) // arguments.files)][: arguments.files]
        with torch_threads(1):
            points = measure_lengths(load_model(arguments.model), sources, arguments.seconds, arguments.kbps)
        table = lengths_table(points)
        print(table.text())
        if arguments.out:
            words = ["python", "-m", "eval.benchmarks.short_files", *sys.argv[1:]]
            head = f"# Bit rates by length\n\nWritten by\n\n```sh\n{command_line(*words)}\n```\n"
            write_text(arguments.out, f"{head}\n{table.note}\n\n{table.markdown()}\n")
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    _main()
