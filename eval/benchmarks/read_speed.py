"""How fast audio files are read, and in how much memory: ``python -m eval.benchmarks.read_speed [--baseline
CHECKOUT]``.

WAV, FLAC, MP3, Vorbis and Opus of the same music-like sound are read block by block. With ``--baseline``, another
checkout of this project reads the same files in turn with this one, round by round, so that what else the machine does
meets both alike; the ratio is that of the medians. Peak memory is that of a fresh process, by the length of the file.
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

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus")
_RATE_HZ = 48000
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
import resource, sys
from pathlib import Path
from codec import audio
for block in audio.blocks(Path(sys.argv[1])):
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def write_music(path: Path, seconds: int) -> None:
    """Write chords in noise, in stereo, which all codecs have to work for."""
    rng = np.random.default_rng(0)
    with audio.AudioWriter(path, _RATE_HZ, 2) as writer:
        for second in range(seconds):
            times = second + np.arange(_RATE_HZ) / _RATE_HZ
            tones = sum(np.sin(2 * np.pi * hz * times) for hz in 110 * 2 ** (rng.integers(0, 36, 6) / 12))
            noise = rng.standard_normal((2, _RATE_HZ))
            writer.write((0.08 * tones + 0.02 * noise).astype(np.float32))


class _Reader:
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
        """CPU time that reading ``path`` takes."""
        assert self._process.stdin and self._process.stdout
        print(json.dumps(str(path)), file=self._process.stdin, flush=True)
        return float(json.loads(self._process.stdout.readline())[0])

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def _environment(checkout: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(checkout)}


def peak_megabytes(path: Path, checkout: Path) -> float:
    """Peak memory of a fresh process that reads ``path``, with all that it imports."""
    command = [sys.executable, "-c", _MEMORY, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=_environment(checkout), cwd=checkout)
    return int(done.stdout) / 1024


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m eval.benchmarks.read_speed", description=__doc__)
    parser.add_argument("--baseline", type=Path, help="checkout of the project to compare with")
    parser.add_argument("--seconds", type=int, default=180, help="of audio in each file (180)")
    parser.add_argument("--rounds", type=int, default=15, help="of reading each file (15)")
    options = parser.parse_args(arguments)
    here = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        readers = [stack.enter_context(_Reader(here))]
        if options.baseline:
            readers.append(stack.enter_context(_Reader(options.baseline.resolve())))
        print("| format | this, x real time |" + (" baseline | time, ratio to baseline |" if options.baseline else ""))
        print("|---|---|" + ("---|---|" if options.baseline else ""))
        for suffix in SUFFIXES:
            path = folder / f"a{suffix}"
            write_music(path, options.seconds)
            rounds = [[reader.seconds(path) for reader in readers] for _ in range(options.rounds + 1)][1:]
            medians = [statistics.median(column) for column in zip(*rounds)]
            cells = [f"{options.seconds / median:.0f}" for median in medians]
            if options.baseline:
                cells.append(f"{statistics.median(ours / theirs for ours, theirs in rounds):.2f}")
            print(f"| {suffix[1:].upper()} | {' | '.join(cells)} |", flush=True)
        print("\n| format | peak MB, 1 min | 10 min |\n|---|---|---|")
        for suffix in SUFFIXES:
            peaks = []
            for seconds in (60, 600):
                write_music(folder / f"m{suffix}", seconds)
                peaks.append(peak_megabytes(folder / f"m{suffix}", here))
            print(f"| {suffix[1:].upper()} | {peaks[0]:.0f} | {peaks[1]:.0f} |", flush=True)


if __name__ == "__main__":
    main()
