"""Processor time of commands on one short file, and files per second of many short ones.

``python -m eval.benchmarks.startup FILE --before CHECKOUT --onnx MODEL --files 5000`` measures both, beside an earlier
version of this repository, and with a model that has ONNX graphs.
"""

import argparse
import filecmp
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codec import audio
from codec.errors import UserError
from codec.runtime import own_packages
from codec.runtime.atomic_files import write_text
from codec.runtime.command import command_line
from codec.runtime.progress import ProgressBar
from eval.benchmarks.processor_time import cpu_seconds
from eval.pages.text_table import Table

SHORT_S = 0.5
"""Duration of each of the many files, in seconds."""
NOW = "this version"
BEFORE = "before"

_PYTHON: dict[str, list[object]] = {
    "python -c pass": ["-c", "pass"],
    "import numpy": ["-c", "import numpy"],
    "import torch": ["-c", "import torch"],
}
Versions = Mapping[str, Path]
"""Folder of the repository by name of the version."""


@dataclass(frozen=True)
class Timing:
    """Runs of one command."""

    command: str
    version: str
    cpu_s: list[float]
    """Processor time of each run, user and system, in seconds."""


@dataclass(frozen=True)
class ManyFiles:
    """One command on many short files."""

    command: str
    version: str
    files: int
    start_s: list[float]
    """Processor time with one file alone, user and system, in seconds, in each round."""
    cpu_s: list[float]
    """Processor time with all files, the start included, in each round."""
    same: int
    """Outputs that are byte-equal to those of the first version."""

    @property
    def files_per_s(self) -> list[float]:
        """Files per second of processor time after the start, in each round."""
        return [(self.files - 1) / (took - start) for took, start in zip(self.cpu_s, self.start_s)]


def measure_startup(source: Path, versions: Versions, onnx: Path | None, runs: int) -> list[Timing]:
    """Measure commands on one file, in rounds over all of them.

    Args:
        source: a short audio file
        versions: versions of the repository
        onnx: folder of a model with ONNX graphs that this version wrote and runs, if there is one
        runs: number of rounds; one more that compiles the modules is not counted

    Returns:
        A timing for each command and version.

    Raises:
        UserError: a command failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        taken = {(name, ""): (words, own_packages.FOLDER) for name, words in _PYTHON.items()}
        for version, place in versions.items():
            graphs = onnx if version == NOW else None
            for name, words in _file_commands(source, Path(folder) / f"{version}.nac", graphs).items():
                taken[name, version] = words, place
        order = list(dict.fromkeys(name for name, _ in taken))
        found: dict[tuple[str, str], list[float]] = {
            row: [] for row in sorted(taken, key=lambda row: order.index(row[0]))
        }
        for turn in ProgressBar(range(runs + 1), desc="start", unit="round"):
            for row, times in found.items():
                took = cpu_seconds(*taken[row])
                if turn:
                    times.append(took)
    return [Timing(name, version, times) for (name, version), times in found.items()]


def _file_commands(source: Path, nac: Path, onnx: Path | None) -> dict[str, list[object]]:
    """Return commands on one file; each version reads what it has written, since formats have versions, too."""
    encode: list[object] = ["-m", "codec", "encode", source, "--out", nac, "--force"]
    decode: list[object] = ["-m", "codec", "decode", nac, "--out", nac.with_suffix(".wav"), "--force"]
    commands = {"codec encode": encode, "codec info": ["-m", "codec", "info", nac], "codec decode": decode}
    if onnx:
        graphs = ["--model", onnx, "--device", "onnx"]
        commands |= {f"{name} --device onnx": [*commands[name], *graphs] for name in ("codec encode", "codec decode")}
    return commands


def measure_many(source: Path, versions: Versions, count: int, rounds: int) -> list[ManyFiles]:
    """Encode and decode many short files, cut from one, in rounds over the versions.

    Args:
        source: an audio file of some seconds
        versions: versions of the repository
        count: number of files
        rounds: number of rounds

    Returns:
        Measurements for each command and version.

    Raises:
        UserError: a command failed.
    """
    found = []
    with (
        tempfile.TemporaryDirectory() as scratch,
        ProgressBar(total=rounds * (2 * len(versions) + 1), desc="files") as bar,
    ):
        place = Path(scratch)
        _cut(source, place / "source", count)
        _cut(source, place / "one", 1)
        first = next(iter(versions))
        for command, many, one in (
            ("encode", place / "source", place / "one"),
            ("decode", place / f"{first}.encode0", place / f"{first}.alone.encode0"),
        ):
            ways: dict[str, tuple[Path, list[object]]] = {name: (folder, []) for name, folder in versions.items()}
            if command == "decode":
                ways[f"{NOW}, --dtype int8"] = versions[NOW], ["--dtype", "int8"]
            starts: dict[str, list[float]] = {way: [] for way in ways}
            times: dict[str, list[float]] = {way: [] for way in ways}
            for turn in range(rounds):
                for way, (repository, options) in ways.items():
                    words = ["-m", "codec", command, *options]
                    # new folders: to replace files, or to make some after many were deleted, takes longer (on ext4)
                    alone, all_ = place / f"{way}.alone.{command}{turn}", place / f"{way}.{command}{turn}"
                    starts[way].append(cpu_seconds([*words, one, "--out", alone], repository))
                    times[way].append(cpu_seconds([*words, many, "--out", all_], repository))
                    bar.update()
            names = [path.name for path in (place / f"{first}.{command}0").iterdir()]
            for way in ways:
                outputs = place / f"{first}.{command}0", place / f"{way}.{command}0"
                same = len(filecmp.cmpfiles(*outputs, names, shallow=False)[0])
                found.append(ManyFiles(command, way, count, starts[way], times[way], same))
    return found


def _cut(source: Path, folder: Path, count: int) -> None:
    folder.mkdir()
    found = audio.read(source)
    length = round(SHORT_S * found.sample_rate)
    steps = np.linspace(0, found.samples.shape[1] - length, count).astype(int)
    for number, first in enumerate(steps):
        audio.write(folder / f"{number:05}.wav", found.samples[:, first : first + length], found.sample_rate)


def startup_table(timings: Sequence[Timing]) -> Table:
    """Return the processor time of commands as a table.

    Args:
        timings: from :func:`measure_startup`

    Returns:
        A row per command and version.
    """
    return Table(
        "One short file",
        "Processor time of the whole process, user and system, on one thread: median (lowest–highest).",
        ["command", "version", "s"],
        [[one.command, one.version, _spread(one.cpu_s, 2)] for one in timings],
    )


def many_table(measured: Sequence[ManyFiles]) -> Table:
    """Return the speed with many files as a table.

    Args:
        measured: from :func:`measure_many`

    Returns:
        A row per command and version.
    """
    first = {one.command: one for one in reversed(measured)}
    rows = []
    for one in measured:
        ratios = [own / other for own, other in zip(one.files_per_s, first[one.command].files_per_s)]
        rates = _spread(one.files_per_s, 0)
        rows.append([one.command, one.version, f"{one.files:,}", rates, _spread(ratios, 2), f"{one.same:,}"])
    return Table(
        f"Many files of {SHORT_S:g} s",
        "One process with one thread. Files per second of processor time do not count the start, which is the time of"
        " one file alone; the ratio is to the first version in the same round: median (lowest–highest) of"
        f" {len(measured[0].cpu_s)} rounds.",
        ["command", "version", "files", "files/s", "ratio", "byte-equal"],
        rows,
    )


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m eval.benchmarks.startup",
        description="Measure the processor time of commands on one short file, and files per second of many short ones"
        " that are cut from it.",
    )
    parser.add_argument("file", type=Path, help="audio file of some seconds")
    parser.add_argument("--before", type=Path, help="checkout of an earlier version to measure in the same run")
    parser.add_argument("--onnx", type=Path, help="model that codec export --onnx wrote")
    parser.add_argument("--runs", type=int, default=5, help="rounds of the commands on one file (default: %(default)s)")
    parser.add_argument("--files", type=int, default=5000, help="number of short files (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds with many files (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="also write the tables as a page in Markdown")
    arguments = parser.parse_args()
    versions = {**({BEFORE: arguments.before.resolve()} if arguments.before else {}), NOW: own_packages.FOLDER}
    source, graphs = arguments.file.resolve(), arguments.onnx and arguments.onnx.resolve()
    try:
        tables = []
        if arguments.runs:
            tables.append(startup_table(measure_startup(source, versions, graphs, arguments.runs)))
            print(tables[-1].text())
        if arguments.files:
            tables.append(many_table(measure_many(source, versions, arguments.files, arguments.rounds)))
            print(tables[-1].text())
        if arguments.out:
            words = ["python", "-m", "eval.benchmarks.startup", *sys.argv[1:]]
            parts = [f"## {table.title}\n\n{table.note}\n\n{table.markdown()}\n" for table in tables]
            head = f"# Start-up and short files\n\nWritten by\n\n```sh\n{command_line(*words)}\n```\n\n"
            write_text(arguments.out, head + "\n".join(parts))
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    _main()
