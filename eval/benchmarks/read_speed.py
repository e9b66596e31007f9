"""Speed and memory of reading audio files: ``python -m eval.benchmarks.read_speed [--baseline CHECKOUT]``.

WAV, FLAC, MP3, Vorbis and Opus files of the same music-like signal are read block by block. With ``--baseline``,
another checkout of this project reads the same files in turn with this one, so that other load on the machine affects
both. Peak memory is that of a new process for each file.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from codec import audio

_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus")
_RATE_HZ = 48000
_HERE = Path(__file__).resolve().parents[2]
_WORKER = """
import json, sys, time
from pathlib import Path
from codec import audio
for line in sys.stdin:
    start, samples = time.process_time(), 0
    for block in audio.blocks(Path(json.loads(line))):
        samples += block.shape[1]
    print(json.dumps([time.process_time() - start, samples]), flush=True)
"""
_MEMORY = """
import sys
from pathlib import Path
from codec import audio
from codec.runtime.peak_memory import peak_memory_bytes
for block in audio.blocks(Path(sys.argv[1])):
    pass
print(peak_memory_bytes() or 0)
"""


def write_music_like_file(path: Path, seconds: int) -> None:
    """Write chords in noise, in stereo, which no codec finds easy.

    Args:
        path: file to write; its suffix is the format.
        seconds: duration.
    """
    rng = np.random.default_rng(0)
    with audio.AudioWriter(path, _RATE_HZ, 2) as writer:
        for second in range(seconds):
            times = second + np.arange(_RATE_HZ) / _RATE_HZ
            tones = sum(np.sin(2 * np.pi * hz * times) for hz in 110 * 2 ** (rng.integers(0, 36, 6) / 12))
            noise = rng.standard_normal((2, _RATE_HZ))
            writer.write((0.08 * tones + 0.02 * noise).astype(np.float32))


class _ReadingProcess:
    """A process that reads files with the project in one checkout."""

    def __init__(self, checkout: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=_environment(checkout),
            cwd=checkout,
        )

    def seconds(self, path: Path) -> float:
        """Return the CPU time of reading ``path``."""
        assert self._process.stdin and self._process.stdout
        print(json.dumps(str(path)), file=self._process.stdin, flush=True)
        return float(json.loads(self._process.stdout.readline())[0])

    def __enter__(self) -> "_ReadingProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def _environment(checkout: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(checkout)}


def reading_peak_mb(path: Path) -> float:
    """Measure the peak memory of a new process that reads a file, all its imports included.

    Args:
        path: audio file.

    Returns:
        MiB.
    """
    command = [sys.executable, "-c", _MEMORY, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=_environment(_HERE), cwd=_HERE)
    return int(done.stdout) / (1 << 20)


def _print_speed(folder: Path, seconds: int, rounds: int, baseline: Path | None) -> None:
    print("| format | this, x real time |" + (" baseline | time, ratio to baseline |" if baseline else ""))
    print("|---|---|" + ("---|---|" if baseline else ""))
    with ExitStack() as stack:
        checkouts = [_HERE, *([baseline.resolve()] if baseline else [])]
        processes = [stack.enter_context(_ReadingProcess(checkout)) for checkout in checkouts]
        for suffix in _SUFFIXES:
            path = folder / f"a{suffix}"
            write_music_like_file(path, seconds)
            times = [[process.seconds(path) for process in processes] for _ in range(rounds + 1)][1:]
            cells = [f"{seconds / statistics.median(column):.0f}" for column in zip(*times)]
            if baseline:
                cells.append(f"{statistics.median(ours / theirs for ours, theirs in times):.2f}")
            print(f"| {suffix[1:].upper()} | {' | '.join(cells)} |", flush=True)


def _print_memory(folder: Path) -> None:
    print("\n| format | peak MB, 1 min | 10 min |\n|---|---|---|")
    for suffix in _SUFFIXES:
        peaks = []
        for seconds in (60, 600):
            write_music_like_file(folder / f"m{suffix}", seconds)
            peaks.append(reading_peak_mb(folder / f"m{suffix}"))
        print(f"| {suffix[1:].upper()} | {peaks[0]:.0f} | {peaks[1]:.0f} |", flush=True)


def _main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m eval.benchmarks.read_speed",
        description="Print how fast audio files of several formats are read, and in how much memory.",
    )
    parser.add_argument(
        "--baseline", type=Path, help="another checkout of the project, which reads the same files in turn"
    )
    parser.add_argument("--seconds", type=int, default=180, help="duration of each file (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=15, help="how often each file is read (default: %(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        _print_speed(Path(name), options.seconds, options.rounds, options.baseline)
        _print_memory(Path(name))


if __name__ == "__main__":
    _main()
