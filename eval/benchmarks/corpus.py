"""Corpus benchmark: ``codec encode`` and ``codec decode`` over a folder, with real bits, speed and memory.

``python -m eval.benchmarks.corpus MODEL FOLDER --kbps 1.5 3 6 --out docs/results/corpus.md`` runs the commands
themselves, one process at a time on one thread, over all audio files in FOLDER, and checks that every decoded file is
as long as its source.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codec import audio
from codec.bitstream.reader import PacketReader
from codec.coding.file_info import file_info
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import load_codec
from codec.pretrained.loaded_model import LoadedModel
from codec.pretrained.registry import find_model
from codec.runtime.atomic_files import write_text
from codec.runtime.command import command_line
from codec.runtime.peak_memory import rss_bytes
from codec.runtime.torch_threads import torch_threads
from eval.benchmarks.memory import CodingRun, code_noise
from eval.pages.text_table import Table
from eval.systems.own import count_codes


@dataclass(frozen=True)
class CommandRun:
    """A command applied to the whole folder."""

    done: list[dict[str, Any]]
    """Its ``--json`` output for each file."""
    times_real_time: float
    peak_mb: float
    """Peak resident memory in MiB."""


@dataclass(frozen=True)
class BitCounts:
    """Bits of all files of one kind."""

    files: int
    seconds: float
    nominal: float
    """Bits of the codes, and of the numbers of codes per frame, at fixed width."""
    ideal: float
    """Cross entropy of both under the model's tables."""
    payload: float
    """Bits of the payload."""
    file: float
    """Bits of whole files, with header, tags, lengths, checksums and index."""


@dataclass(frozen=True)
class CorpusPoint:
    """The folder at one bit rate."""

    kbps: float
    encode: CommandRun
    decode: CommandRun
    kinds: dict[tuple[str, int, int], BitCounts]
    """Uppermost folder, sample rate in Hz and channels: bits."""
    range_encode: float
    """Speed of range coding alone, of all mono files, in times real time."""
    range_decode: float


def measure_corpus(model: str, folder: Path, kbps: float) -> CorpusPoint:
    """Encode and decode all audio files in a folder.

    Args:
        model: name of a built-in model, or folder of a model.
        folder: folder with one subfolder for each kind of audio.
        kbps: target bit rate.

    Returns:
        Speed, memory and bits.

    Raises:
        UserError: a command fails, or a decoded file differs from its source in length, sample rate or channels.
    """
    codec = load_codec(find_model(model))
    with tempfile.TemporaryDirectory() as out:
        coded, decoded = Path(out) / "coded", Path(out) / "decoded"
        encode = run_command("encode", folder, "--model", model, "--kbps", str(kbps), "--out", coded)
        decode = run_command("decode", coded, "--model", model, "--out", decoded)
        sources = {Path(one["target"]): Path(one["source"]) for one in encode.done}
        for one in decode.done:
            before, after = sources[Path(one["source"])], Path(one["target"])
            if _shape(before) != _shape(after):
                raise UserError(f"{before}: the decoded file differs in length, sample rate or channels")
        kinds: dict[tuple[str, int, int], list[Path]] = {}
        for target, source in sorted(sources.items()):
            _, rate, channels = _shape(source)
            kinds.setdefault((source.relative_to(folder).parts[0], rate, channels), []).append(target)
        bits = {kind: _count_bits(paths, codec) for kind, paths in sorted(kinds.items())}
        mono = [path for (_, _, channels), paths in kinds.items() if channels == 1 for path in paths]
        return CorpusPoint(kbps, encode, decode, bits, *time_range_coding(mono, codec))


def run_command(*words: str | Path) -> CommandRun:
    """Run ``codec WORDS --json`` in a process of its own. This needs a Unix system.

    Args:
        *words: name of the command, and its arguments.

    Returns:
        What the command printed, its speed and its peak memory.

    Raises:
        UserError: the command fails.
    """
    line = [sys.executable, "-m", "codec", *map(str, words), "--json"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise UserError(f"codec {words[0]} failed with status {process.returncode}")
    report = json.loads(printed)
    return CommandRun(report["done"], report["summary"]["times_real_time"], rss_bytes(used.ru_maxrss) / (1 << 20))


def time_range_coding(paths: Sequence[Path], codec: Codec) -> tuple[float, float]:
    """Time the range coding of the codes in coded files.

    Args:
        paths: ``.nac`` files.
        codec: the model that they were coded with.

    Returns:
        Speed of encoding and of decoding, in times real time by processor time of one thread: the better of three
        rounds.
    """
    coder, packets = LoadedModel(codec).coder, []
    for path in paths:
        with PacketReader(path) as reader:
            variable = reader.header.variable
            packets += list(reader.codes(coder))
    seconds = sum(codes.shape[2] for codes in packets) / codec.config.frame_rate_hz
    spent: list[tuple[float, float]] = []
    for _ in range(3):
        start = time.process_time()
        coded = [coder.encode(codes, variable) for codes in packets]
        middle = time.process_time()
        for payload, codes in zip(coded, packets):
            channels, codebooks, frames = codes.shape
            coder.decode(payload, channels, codebooks, frames, variable)
        spent.append((middle - start, time.process_time() - middle))
    return seconds / min(one for one, _ in spent), seconds / min(other for _, other in spent)


def _shape(path: Path) -> tuple[int | None, int, int]:
    described = audio.info(path)
    return described.frames, described.sample_rate, described.channels


def _count_bits(paths: Sequence[Path], codec: Codec) -> BitCounts:
    infos = [file_info(path) for path in paths]
    counted = count_codes(list(paths), codec)
    count_bits = sum(info["frames"] * info["channels"] * info["codebooks"].bit_length() for info in infos)
    return BitCounts(
        files=len(infos),
        seconds=sum(info["seconds"] for info in infos),
        nominal=float(counted.counts.sum()) * infos[0]["bits_per_code"] + count_bits,
        ideal=counted.ideal_bits,
        payload=8.0 * sum(info["payload_bytes"] for info in infos),
        file=8.0 * sum(info["bytes"] for info in infos),
    )


def bits_table(points: Sequence[CorpusPoint]) -> Table:
    """Return the bit rates of every kind of file.

    Args:
        points: the folder at several bit rates.

    Returns:
        A row per bit rate and kind.
    """
    rows = []
    for point in points:
        for (name, rate, channels), found in point.kinds.items():
            kbps = [value / found.seconds / 1000 for value in (found.nominal, found.ideal, found.payload, found.file)]
            layout = "stereo" if channels == 2 else "mono"
            rows.append([
                f"{point.kbps:g} kbps: {name}, {rate / 1000:g} kHz, {layout}",
                f"{found.files:,}",
                f"{found.seconds / 60:.1f}",
                *(f"{value:.2f}" for value in kbps),
                f"{100 * (1 - found.payload / found.nominal):.1f}",
                f"{60 * (found.file - found.payload) / 8 / found.seconds:.0f}",
            ])  # fmt: skip
    return Table(
        "Bits",
        "Bit rates in kbit/s, all channels together. Nominal: the codes in use and their numbers per frame at fixed"
        " width. Ideal: their cross entropy under the model's tables. Payload: as coded. File: the payload and its"
        " container (header, tags, lengths, checksums and index), which is given in bytes per minute and matters most"
        " in short files. Saved: payload relative to nominal.",
        ["", "files", "minutes", "nominal", "ideal", "payload", "file", "saved, %", "container, B/min"],
        rows,
    )


def command_table(points: Sequence[CorpusPoint]) -> Table:
    """Return speed and memory of the commands.

    Args:
        points: the folder at several bit rates.

    Returns:
        A row per bit rate.
    """
    header = ["", "files", "encode, x real time", "decode, x real time", "encode, MB", "decode, MB"]
    return Table(
        "Commands",
        "Speed in times real time, with the start of the program and the loading of the model, and peak memory in MB,"
        " of each command over the whole folder in one process with one thread. Range coding alone is given by"
        " processor time, the better of three rounds.",
        [*header, "range encode, x real time", "range decode, x real time"],
        [
            [
                f"{point.kbps:g} kbps",
                f"{len(point.decode.done):,}",
                *(f"{one.times_real_time:.0f}" for one in (point.encode, point.decode)),
                *(f"{one.peak_mb:.0f}" for one in (point.encode, point.decode)),
                f"{point.range_encode:,.0f}",
                f"{point.range_decode:,.0f}",
            ]
            for point in points
        ],
    )


def long_file_table(runs: Sequence[CodingRun]) -> Table:
    """Return speed and memory of coding long synthetic files.

    Args:
        runs: a process for each file.

    Returns:
        A row per file.
    """
    return Table(
        "Long files",
        "Files of noise at the model's sample rate, encoded with all codebooks and decoded, each in a process of its"
        " own. Memory is the peak of both together.",
        ["hours", "memory, MB", "encode, x real time", "decode, x real time", "MB of .nac"],
        [
            [
                f"{one.seconds / 3600:.3g}",
                f"{one.peak_mb:.0f}",
                f"{one.seconds / one.encode_s:.0f}",
                f"{one.seconds / one.decode_s:.0f}",
                f"{one.bytes / 1e6:.1f}",
            ]
            for one in runs
        ],
    )


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m eval.benchmarks.corpus",
        description="Encode and decode a folder of audio files with the commands codec encode and codec decode, and"
        " print real bit rates, speed and memory. Every decoded file must be as long as its source.",
    )
    parser.add_argument("model", help="name of a built-in model, or folder of a run or model")
    parser.add_argument("folder", type=Path, help="folder with one subfolder for each kind of audio")
    parser.add_argument(
        "--kbps", type=float, nargs="+", default=[1.5, 3.0, 6.0], help="target bit rates (default: 1.5 3 6)"
    )
    parser.add_argument(
        "--hours", type=float, nargs="*", default=[], help="also code files of noise with these durations in hours"
    )
    parser.add_argument("--out", type=Path, help="also write the tables as a page in Markdown")
    return parser


def _main() -> None:
    arguments = _make_parser().parse_args()
    try:
        with torch_threads(1):
            points = [measure_corpus(arguments.model, arguments.folder, kbps) for kbps in arguments.kbps]
        found = [bits_table(points), command_table(points)]
        if arguments.hours:
            model, rate = find_model(arguments.model), load_codec(find_model(arguments.model)).config.sample_rate
            found.append(long_file_table([code_noise(model, 3600 * hours, rate) for hours in arguments.hours]))
        for table in found:
            print(f"\n{table.title}\n{table.text()}")
        if arguments.out:
            sections = [f"## {table.title}\n\n{table.note}\n\n{table.markdown()}\n" for table in found]
            words = ["python", "-m", "eval.benchmarks.corpus", *sys.argv[1:]]
            head = f"# Corpus\n\nWritten by\n\n```sh\n{command_line(*words)}\n```\n"
            write_text(arguments.out, "\n".join([head, *sections]))
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    _main()
