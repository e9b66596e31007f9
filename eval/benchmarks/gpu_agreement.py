"""Agreement of a device with the CPU: codes, losses, decoded waveforms, and files that each decodes of the other."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from codec.audio.reader import read
from codec.batch.decode import decode_batch
from codec.batch.encode import encode_batch
from codec.batch.jobs import BatchOptions
from codec.coding.options import CodingOptions
from codec.config import Recipe
from codec.losses import CompositeLoss
from codec.pretrained.registry import load_model


@dataclass(frozen=True)
class Agreement:
    """How far a device computes what the CPU computes."""

    equal_codes: float
    """Share of codes that are equal."""
    loss_difference: float
    """Largest relative difference of a loss term."""
    waveform_snr_db: float
    """Level of the waveform that the CPU decodes, relative to the difference of the device's, of equal codes."""
    bytes_ratio: float
    """Size of all files that the device encoded, relative to those of the CPU."""
    exchanged_snr_db: float
    """The same for files that one encoded and the other decoded, relative to those that one device decoded alone; the
    lowest of all files."""

    @property
    def passed(self) -> bool:
        """Codes agree to 99.9 %, sizes to 0.1 %, and waveforms but for rounding."""
        sizes = abs(self.bytes_ratio - 1) <= 1e-3
        waveforms = min(self.waveform_snr_db, self.exchanged_snr_db) > _ROUNDING_DB
        return self.equal_codes >= 0.999 and self.loss_difference < 1e-3 and sizes and waveforms


_ROUNDING_DB = 60.0
_MOST_DB = 200.0


def measure_agreement(
    recipe: Recipe, model: str, waveform: Tensor, files: Sequence[Path], device: torch.device, folder: Path, batch: int
) -> Agreement:
    """Compare a device with the CPU.

    Args:
        recipe: its losses are compared
        model: name or folder of the model
        waveform: ``[items, 1, samples]`` at the sample rate of the model, on the CPU
        files: audio files to encode
        device: the device
        folder: an empty folder for coded and decoded files
        batch: files that are coded at once on the device

    Returns:
        The comparison.
    """
    ours, theirs = load_model(model), load_model(model, str(device))
    one, other = ours.network, theirs.network
    codes, device_codes = one.encode(waveform), other.encode(waveform.to(device)).cpu()
    decoded, device_decoded = one.decode(codes), other.decode(codes.to(device)).cpu()
    places = [(ours, "cpu", 1), (theirs, "device", batch)]
    sizes = {}
    for loaded, name, at_once in places:
        options = BatchOptions(concurrent_files=at_once)
        report = encode_batch(files, folder / name, loaded, CodingOptions(), options)
        sizes[name] = sum(item.bytes_total for item in report.reports)
    for _, source, _ in places:
        for loaded, name, at_once in places:
            coded = sorted((folder / source).rglob("*.nac"))
            decode_batch(
                coded, folder / f"{source}-{name}", loaded, batch=BatchOptions(concurrent_files=at_once), bits="32f"
            )
    return Agreement(
        equal_codes=float((codes == device_codes).double().mean()),
        loss_difference=_loss_difference(recipe, waveform, decoded, device),
        waveform_snr_db=_snr_db(decoded.numpy(), device_decoded.numpy()),
        bytes_ratio=sizes["device"] / sizes["cpu"],
        exchanged_snr_db=min(
            _files_snr_db(folder / "cpu-cpu", folder / "cpu-device"),
            _files_snr_db(folder / "device-device", folder / "device-cpu"),
        ),
    )


def _loss_difference(recipe: Recipe, target: Tensor, output: Tensor, device: torch.device) -> float:
    losses = CompositeLoss(recipe.losses, recipe.codec.sample_rate, recipe.codec.hop)
    expected = losses(output, target, log_all=True).terms
    found = copy.deepcopy(losses).to(device)(output.to(device), target.to(device), log_all=True).terms
    return max(abs(float(found[name]) / float(value) - 1) for name, value in expected.items() if float(value))


def _snr_db(reference: np.ndarray, other: np.ndarray) -> float:
    noise = float(np.square(reference - other, dtype=np.float64).sum())
    signal = float(np.square(reference, dtype=np.float64).sum())
    return min(_MOST_DB, 10 * float(np.log10(max(signal, 1e-20) / max(noise, 1e-30))))


def _files_snr_db(one: Path, other: Path) -> float:
    pairs = [(path, other / path.relative_to(one)) for path in sorted(one.rglob("*.wav"))]
    return min(_snr_db(read(path).samples, read(twin).samples) for path, twin in pairs)
