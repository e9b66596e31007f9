"""Sounds to make tokens of, and the shards of tokens that become of them."""

import io
import re
import tarfile
from pathlib import Path

import numpy as np
import soundfile

from codec.batch.report import BatchReport
from codec.runtime.file_lock import LOCK_FILE


def make_sound(path: Path, samples: int = 8000, rate: int = 16000, channels: int = 1) -> Path:
    """Write white noise, different for each length."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(samples).uniform(-0.1, 0.1, (samples, channels))
    soundfile.write(path, noise, rate)
    return path


def read_shards(*paths: Path) -> dict[str, dict[str, bytes]]:
    """What WebDataset makes of shards: neighbours with one key, and what comes after the first dot of the name."""
    found: dict[str, dict[str, bytes]] = {}
    for path in paths:
        with tarfile.open(path) as tar:
            for member in tar:
                key, kind = re.fullmatch(r"((?:.*/|)[^.]+)[.]([^/]*)", member.name).groups()
                assert key not in found or key == list(found)[-1]
                found.setdefault(key, {})[kind] = tar.extractfile(member).read()
    return found


def figures(batch: BatchReport) -> tuple[int, int, int]:
    """How many files were done, were up to date, and failed."""
    return len(batch.reports), len(batch.skipped), len(batch.failures)


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder, without its lock."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != LOCK_FILE}


def numpy_bytes(codes: np.ndarray) -> bytes:
    """Codes as a file of NumPy."""
    data = io.BytesIO()
    np.save(data, codes)
    return data.getvalue()


def write_tar(path: Path, members: dict[str, bytes | None]) -> None:
    """Write a tar of these members, without those that are ``None``."""
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            if data is not None:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
