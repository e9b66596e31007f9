"""An archive through ``codec encode`` and ``codec decode``: real bits, speed, memory.

``python -m eval.benchmarks.corpus MODEL FOLDER --kbps 1.5 3 6 --out docs/results/corpus.md`` runs the commands
themselves, one process at a time on one thread, over everything in FOLDER, and checks that each decoded file is as long as its source.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from codec import audio
from codec.bitstream.container import Reader
from codec.coding.files import file_info
from codec.coding.nac_reader import range_coder
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import load_model
from codec.pretrained.registry import find
from codec.runtime.atomic_files import write_text
from codec.runtime.peak_memory import rss_bytes
from eval.benchmarks.memory import Coded, code_made
from eval.pages.text_table import Table
from eval.systems.own import count_codes


@dataclass(frozen=True)
class Command:
    """A command over the folder: what its ``--json`` says of each file, and its peak memory."""

    done: list[dict[str, Any]]
    times_real_time: float
    peak_mb: float


@dataclass(frozen=True)
class Bits:
    """Of files of one kind, ``nominal``: what their codes, and the numbers of codes per frame, take at fixed width;
    ``ideal``: what they cost under the tables of the model; ``payload``: what they take; ``file``: with all around
    them."""

    files: int
    seconds: float
    nominal: float
    ideal: float
    payload: float
    file: float


@dataclass(frozen=True)
class Point:
    """The folder at one bit rate. ``kinds``: uppermost folder, sample rate in Hz, channels. Range coding alone, of all
    mono packets: times real time."""

    kbps: float
    encode: Command
    decode: Command
    kinds: dict[tuple[str, int, int], Bits]
    range_encode: float
    range_decode: float


def measure(model: str, folder: Path, kbps: float) -> Point:
    """Codes and decodes everything in ``folder``.

    Raises:
        UserError: a command fails, or a file is not as long after as before.
    """
    codec = load_model(find(model))
    with tempfile.TemporaryDirectory() as out:
        coded, decoded = Path(out) / "coded", Path(out) / "decoded"
        encode = run("encode", folder, "--model", model, "--kbps", str(kbps), "--out", coded)
        decode = run("decode", coded, "--model", model, "--out", decoded)
        sources = {Path(one["target"]): Path(one["source"]) for one in encode.done}
        for one in decode.done:
            before, after = sources[Path(one["source"])], Path(one["target"])
            if _shape(before) != _shape(after):
                raise UserError(f"{before}: is not the same length, rate and channels when decoded")
        kinds: dict[tuple[str, int, int], list[Path]] = {}
        for target, source in sorted(sources.items()):
            _, rate, channels = _shape(source)
            kinds.setdefault((source.relative_to(folder).parts[0], rate, channels), []).append(target)
        bits = {kind: _bits(paths, codec) for kind, paths in sorted(kinds.items())}
        mono = [path for (_, _, channels), paths in kinds.items() if channels == 1 for path in paths]
        return Point(kbps, encode, decode, bits, *range_coding(mono, codec))


def run(*words: str | Path) -> Command:
    """Runs ``codec WORDS --json`` as a process of its own, on a Unix. Raises ``UserError`` where it fails."""
    line = [sys.executable, "-m", "codec", *map(str, words), "--json"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise UserError(f"codec {words[0]} failed")
    told = json.loads(printed)
    peak = rss_bytes(used.ru_maxrss) / (1 << 20)
    return Command(told["done"], told["summary"]["times_real_time"], peak)


def range_coding(paths: Sequence[Path], codec: Codec) -> tuple[float, float]:
    """Times real time, by processor time of one thread, of coding and of decoding the codes of these files: the better
    of three rounds."""
    coder, packets = range_coder(codec), []
    for path in paths:
        with Reader(path) as reader:
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


def _bits(paths: Sequence[Path], codec: Codec) -> Bits:
    infos = [file_info(path) for path in paths]
    counted = count_codes(list(paths), codec)
    count_bits = sum(info["frames"] * info["channels"] * info["codebooks"].bit_length() for info in infos)
    return Bits(
        files=len(infos),
        seconds=sum(info["seconds"] for info in infos),
        nominal=float(counted.counts.sum()) * infos[0]["bits_per_code"] + count_bits,
        ideal=counted.ideal_bits,
        payload=8.0 * sum(info["payload_bytes"] for info in infos),
        file=8.0 * sum(info["bytes"] for info in infos),
    )


def tables(points: Sequence[Point]) -> list[Table]:
    bits = []
    for point in points:
        for (name, rate, channels), found in point.kinds.items():
            kbps = [value / found.seconds / 1000 for value in (found.nominal, found.ideal, found.payload, found.file)]
            bits.append(
                [
                    f"{point.kbps:g} kbps: {name}, {rate / 1000:g} kHz, {'stereo' if channels == 2 else 'mono'}",
                    f"{found.files:,}",
                    f"{found.seconds / 60:.1f}",
                    *(f"{value:.2f}" for value in kbps),
                    f"{100 * (1 - found.payload / found.nominal):.1f}",
                    f"{60 * (found.file - found.payload) / 8 / found.seconds:.0f}",
                ]
            )
    commands = [
        [
            f"{point.kbps:g} kbps",
            f"{len(point.decode.done):,}",
            *(f"{one.times_real_time:.0f}" for one in (point.encode, point.decode)),
            *(f"{one.peak_mb:.0f}" for one in (point.encode, point.decode)),
            f"{point.range_encode:,.0f}",
            f"{point.range_decode:,.0f}",
        ]
        for point in points
    ]
    return [
        Table(
            "Bits",
            "kbit/s, channels together. Nominal: the codes in use, and their numbers, at fixed width. Ideal: the same"
            " under the model's tables. Payload: as coded. File: with header, tags, lengths, checksums and index; these"
            " are the container, in bytes per minute, and weigh most where files are short. Saved: payload against"
            " nominal.",
            ["", "files", "minutes", "nominal", "ideal", "payload", "file", "saved, %", "container, B/min"],
            bits,
        ),
        Table(
            "Commands",
            "Times real time, start of the program and loading of the model included, and peak memory in MB, of each"
            " command over the whole folder, one process with one thread; range coding alone by processor time,"
            " the better of three rounds.",
            [
                "", "files", "encode, x real time", "decode, x real time", "encode, MB", "decode, MB",
                "range encode, x real time", "range decode, x real time",
            ],
            commands,
        ),
    ]  # fmt: skip


def long_table(coded: Sequence[Coded]) -> Table:
    return Table(
        "Long files",
        "Made files of noise at the model's rate, coded with all codes and decoded, each in a process of its own. Peak"
        " memory of both together.",
        ["hours", "memory, MB", "encode, x real time", "decode, x real time", "MB of .nac"],
        [
            [
                f"{one.seconds / 3600:.3g}",
                f"{one.peak_mb:.0f}",
                f"{one.seconds / one.encode_s:.0f}",
                f"{one.seconds / one.decode_s:.0f}",
                f"{one.bytes / 1e6:.1f}",
            ]
            for one in coded
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m eval.benchmarks.corpus", description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a built-in model, or the folder of a run or model")
    parser.add_argument("folder", type=Path, help="sound files in folders, one for each kind")
    parser.add_argument("--kbps", type=float, nargs="+", default=[1.5, 3.0, 6.0], help="bit rates (1.5 3 6)")
    parser.add_argument("--hours", type=float, nargs="*", default=[], help="also made files of so many hours")
    parser.add_argument("--out", type=Path, help="write a page in Markdown there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        found = tables([measure(arguments.model, arguments.folder, kbps) for kbps in arguments.kbps])
        if arguments.hours:
            place, rate = find(arguments.model), load_model(find(arguments.model)).config.sample_rate
            found.append(long_table([code_made(place, 3600 * hours, rate) for hours in arguments.hours]))
        for table in found:
            print(f"\n{table.title}\n{table.text()}")
        if arguments.out:
            sections = [f"## {table.title}\n\n{table.note}\n\n{table.markdown()}\n" for table in found]
            words = ["python", "-m", "eval.benchmarks.corpus", *sys.argv[1:]]
            head = f"# Archives\n\nWritten by\n\n```sh\n{shlex.join(words)}\n```\n"
            write_text(arguments.out, "\n".join([head, *sections]))
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
