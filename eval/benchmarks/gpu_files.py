"""Speed of encoding and decoding files on a device, by the number of files that are computed at once."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from codec.batch.decode import decode_batch
from codec.batch.encode import encode_batch
from codec.batch.jobs import BatchOptions
from codec.coding.options import CodingOptions
from codec.pretrained.registry import load_model
from eval.benchmarks.gpu_training import NO_TIME, NotTimed, TimeLeft


@dataclass(frozen=True)
class FileSpeed:
    """Speed of coding files."""

    batch: int
    """Files whose blocks are computed at once (``--batch``)."""
    encode: float
    """Times real time, of reading, encoding and writing."""
    decode: float
    """The same of decoding."""


def time_files(
    model: str, files: Sequence[Path], device: torch.device, batches: Sequence[int], seconds: float
) -> Iterator[FileSpeed | NotTimed]:
    """Encode and decode files.

    Args:
        model: name or folder of the model
        files: audio files
        device: the device
        batches: numbers of files at once
        seconds: time for all of them

    Yields:
        A speed for each number, or that there was no time left.
    """
    loaded, clock = load_model(model, str(device)), TimeLeft(seconds)
    for batch in batches:
        if not clock.suffices():
            yield NotTimed(f"files, {batch} at once", None, NO_TIME)
            continue
        with tempfile.TemporaryDirectory() as made:
            folder, options = Path(made), BatchOptions(concurrent_files=batch)
            encode_batch(files[:batch], folder / "warm", loaded, CodingOptions(), options)
            encoded = encode_batch(files, folder / "coded", loaded, CodingOptions(), options)
            coded = sorted((folder / "coded").rglob("*.nac"))
            decoded = decode_batch(coded, folder / "decoded", loaded, batch=options)
            yield FileSpeed(batch, encoded.summary.times_real_time, decoded.summary.times_real_time)
