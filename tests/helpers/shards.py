"""Small data sets in shards: as ``codec prepare`` packs them, as tars of WebDataset."""

import io
import json
from pathlib import Path
from unittest.mock import patch

import numpy as np
import soundfile

from data_prep import placement
from data_prep.options import PrepareOptions
from data_prep.prepare import prepare

RATE = 16000


def noise(number: int, seconds: float = 1.0) -> np.ndarray:
    """Noise of its own for each number, int16 ``[samples]``."""
    return np.random.default_rng(number).integers(-8000, 8000, int(seconds * RATE)).astype(np.int16)


def prepared_in_shards(folder: Path, groups: int = 14, channels: int = 1) -> Path:
    """Prepare one second of noise for each group, two in each shard; the channels share half of it."""
    for number in range(groups):
        path = folder / f"audio/g{number:02d}/a.wav"
        path.parent.mkdir(parents=True)
        shared = noise(number) // 2
        waves = [shared + noise(1000 * channel + number) // 2 for channel in range(channels)]
        soundfile.write(path, np.stack(waves, 1) if channels > 1 else noise(number), RATE)
    with patch.object(placement, "SHARD_BYTES", 2 * 2 * channels * RATE):
        options = PrepareOptions(sample_rate=RATE, channels=channels, workers=1, ratios="6:1:1")
        prepare([folder / "audio"], folder / "data", options)
    return folder / "data"


def flac(samples: np.ndarray, rate: int = RATE) -> bytes:
    """The bytes of a FLAC file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="FLAC")
    return file.getvalue()


def webdataset_tars(folder: Path, split: str, first: int, tars: int, per_tar: int = 2) -> None:
    """Write tars by WebDataset's own writer: a second of noise and its speaker in each sample."""
    from webdataset import TarWriter

    (folder / split).mkdir(parents=True)
    for tar in range(tars):
        with TarWriter(str(folder / split / f"{tar:03d}.tar")) as writer:
            for number in range(first + tar * per_tar, first + (tar + 1) * per_tar):
                fields = {"speaker": f"speaker {number}", "text": "some  words", "lang": "en"}
                writer.write(
                    {"__key__": f"{number:04d}", "flac": flac(noise(number)), "json": json.dumps(fields).encode()}
                )
