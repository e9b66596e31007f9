"""What a GPU without network needs for :mod:`eval.benchmarks.gpu`, gathered into one folder of limited size.

``python -m eval.benchmarks.gpu_bundle --data data/speech --out gpu_bundle`` writes wheels, and audio of the training
and validation splits as Ogg Opus, into a folder that git ignores. On the machine with the GPU, in a copy of this
repository, ``sh gpu_bundle/run.sh 15`` installs the wheels into a virtual environment beside PyTorch, unpacks the
audio and runs the benchmark for 15 minutes. PyAV, which reads Ogg files elsewhere, is too large for the folder.
"""

import argparse
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile

from codec.dataset.location import open_split
from codec.dataset.packed_split import PackedSplit
from codec.errors import UserError
from codec.runtime.atomic_files import make_folder, replacing

BUNDLE_BYTES = 30_000_000
"""Largest size of the folder."""
KBPS = 32.0
PACKAGES = (
    "constriction",
    "jsonargparse",
    "lightning",
    "lightning-utilities",
    "pytorch-lightning",
    "torchmetrics",
    "cffi",
    "pycparser",
    "packaging",
    "pyyaml",
    "safetensors",
    "soundfile",
    "soxr",
    "tinytag",
    "tqdm",
)
"""What training and coding need beyond PyTorch and NumPy and what these bring."""
_PEER_WHEELS, _PEER_SOURCE = ("einops", "torchaudio"), "encodec"
"""What EnCodec's own training step needs, which is timed beside ours; it is pure Python, and no wheel on PyPI."""
_VALIDATION_SHARE = 0.1
_LONGEST_S = 20.0
"""Longer clips are cut, for the sake of more speakers."""
_LOWEST_KBPS, _HIGHEST_KBPS = 6.0, 256.0
"""Range of bit rates of libsndfile's compression levels for mono Opus, from 1 to 0."""
_RUN = """\
#!/bin/sh
# sh run.sh MINUTES: needs Python 3.12 with PyTorch and NumPy, and no network
set -e
cd "$(dirname "$0")"
python3 -m venv --system-site-packages venv
venv/bin/pip install --quiet --no-index --no-deps wheels/*.whl
export PYTHONPATH="$(cd .. && pwd)"
venv/bin/python -c 'from pathlib import Path; from eval.benchmarks.gpu_bundle import unpack
unpack(Path("audio"), Path("wav"))'
venv/bin/python -m eval.benchmarks.gpu --minutes "${1:-15}" --data wav --out results
"""


def gather(data: Path, out: Path, *, total_bytes: int = BUNDLE_BYTES, hours: float = 2.0, wheels: bool = True) -> float:
    """Write the folder.

    Args:
        data: prepared data at 16 kHz
        out: the folder, which is made
        total_bytes: its largest size
        hours: audio, if it fits
        wheels: whether to fetch wheels for Python 3.12 on Linux from the package index

    Returns:
        Hours of audio.

    Raises:
        UserError: the folder exists, the data cannot be read, or wheels cannot be fetched.
    """
    if out.exists():
        raise UserError(f"{out}: exists already; name another folder")
    train, val = (open_split(data, name, 16000, 1) for name in ("train", "val"))
    make_folder(out.parent)
    with replacing(out) as part:
        return _gather(train, val, part, total_bytes, hours, wheels)


def _gather(train: PackedSplit, val: PackedSplit, out: Path, total_bytes: int, hours: float, wheels: bool) -> float:
    out.mkdir()
    (out / ".gitignore").write_text("*\n")
    (out / "run.sh").write_text(_RUN)
    if wheels:
        fetch_wheels(out / "wheels")
    left = total_bytes - _size(out)
    if left <= 0:
        raise UserError(f"the wheels alone exceed {total_bytes / 1e6:.0f} MB")
    seconds = 3600 * hours
    found = 0.0
    for split, share, name in ((val, _VALIDATION_SHARE, "val"), (train, 1.0, "train")):
        folder = out / "audio" / name
        budget = left * share
        for clip, speaker, number in _in_turn(split):
            if budget <= 0 or found >= seconds * share:
                break
            frames = min(split.clips[clip].frames, round(_LONGEST_S * 16000))
            path = folder / speaker / f"{number:05}.ogg"
            path.parent.mkdir(parents=True, exist_ok=True)
            written = _write_opus(path, split.waveform(clip, 0, frames)[0], 16000)
            if written > budget:
                path.unlink()
                break
            budget, left = budget - written, left - written
            found += frames / 16000
    return found / 3600


def unpack(audio: Path, out: Path) -> None:
    """Decode the audio of a folder to WAV, by libsndfile alone; what is there already is left.

    Args:
        audio: the folder of the audio
        out: folder of the WAV files
    """

    def decode(path: Path) -> None:
        target = (out / path.relative_to(audio)).with_suffix(".wav")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as part:
                soundfile.write(part, *soundfile.read(path, dtype="int16"), format="WAV")

    with ThreadPoolExecutor() as threads:
        list(threads.map(decode, sorted(audio.rglob("*.ogg"))))


def _in_turn(split: PackedSplit) -> Iterator[tuple[int, str, int]]:
    """Yield the clips, one of each group after the other: index, name of the group, number."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, clip in enumerate(split.clips):
        groups[clip.group].append(index)
    number = 0
    for turn in range(max(map(len, groups.values()))):
        for name, (_, clips) in enumerate(sorted(groups.items())):
            if turn < len(clips):
                yield clips[turn], f"{name:04}", number
                number += 1


def _write_opus(path: Path, wave: np.ndarray, rate: int) -> int:
    level = 1 - (KBPS - _LOWEST_KBPS) / (_HIGHEST_KBPS - _LOWEST_KBPS)
    soundfile.write(path, wave, rate, format="OGG", subtype="OPUS", compression_level=level)
    return path.stat().st_size


def fetch_wheels(out: Path, python: str = "3.12") -> None:
    """Fetch wheels for Linux from the package index.

    Args:
        out: folder of the wheels
        python: version of Python

    Raises:
        UserError: they cannot be fetched.
    """
    platforms = ("--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_28_x86_64")
    binary = ("--only-binary=:all:", "--python-version", python, *platforms)
    _pip("download", *binary, "--dest", str(out), *PACKAGES, *_PEER_WHEELS)
    _pip("wheel", "--wheel-dir", str(out), _PEER_SOURCE)


def _pip(command: str, *arguments: str) -> None:
    words = [sys.executable, "-m", "pip", command, "--quiet", "--no-deps", *arguments]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"wheels could not be fetched: {(done.stderr.strip() or 'pip failed').splitlines()[-1]}")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m eval.benchmarks.gpu_bundle", description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="prepared data, mono at 16 kHz")
    parser.add_argument("--out", type=Path, required=True, help="the folder")
    parser.add_argument("--hours", type=float, default=2.0, help="audio, if it fits (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        hours = gather(arguments.data, arguments.out, hours=arguments.hours)
    except UserError as error:
        sys.exit(f"error: {error}")
    print(f"{arguments.out}: {_size(arguments.out) / 1e6:.1f} MB, {hours:.2f} hours of audio")


if __name__ == "__main__":
    _main()
