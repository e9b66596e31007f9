"""Arrays of codes with their metadata, as they stand in shards and are checked when they are read.

The array of a mono file is ``[quantizers, frames]``, of others ``[channels, quantizers, frames]``, where the channels
are those that the model codes: mid and side of a stereo file, if its metadata says so. All frames have all codes.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from codec.audio.channels import StereoMode
from codec.audio.waveform import MAX_CHANNELS, SAMPLE_RATES
from codec.coding import shards
from codec.coding.pipeline import model_samples
from codec.model.codec import Codec

DTYPE = np.dtype("<i4")
"""Of the codes that are written: PyTorch looks up and indexes with integers of 32 and 64 bits alone. Integers of any
other kind are read as well."""


@dataclass(frozen=True)
class TokenInfo:
    """The metadata of one array. ``sample_rate``, ``channels``, ``samples`` (per channel) and ``seconds`` are the
    source's."""

    source: str
    sample_rate: int
    channels: int
    samples: int
    seconds: float
    model: str
    """Fingerprint."""
    model_rate: int
    """Sample rate in Hz at which the model works."""
    codebooks: int
    codebook_size: int
    frames: int
    frames_per_second: float
    axes: list[str]
    """Of the array: channels (where there are several), quantizers, frames."""
    stereo: StereoMode | None
    """What the two channels of an array are; None where they are one, or more than two, which are separate."""
    manifest: dict[str, str]
    """The columns of the manifest's row for this file, apart from its path."""

    @property
    def fingerprint(self) -> str:
        return self.model


def read_info(sample: shards.Sample) -> TokenInfo:
    """The metadata, of which the numbers are possible. Raises :class:`UserError` where they are not."""
    found = shards.read_metadata(sample)
    kinds: dict[str, Any] = {"source": str, "model": str, "axes": list, "manifest": dict, "stereo": str | None}
    kinds |= {"seconds": float | int, "frames_per_second": float | int}
    for each in fields(TokenInfo):
        value = found.get(each.name)
        if isinstance(value, bool) or not isinstance(value, kinds.get(each.name, int)):
            raise shards.damaged(sample, f"{each.name} is {value!r:.40}")
    info = TokenInfo(**{each.name: found[each.name] for each in fields(TokenInfo)})
    for name, value, allowed in (
        ("sample_rate", info.sample_rate, SAMPLE_RATES),
        ("channels", info.channels, range(1, MAX_CHANNELS + 1)),
        ("samples", info.samples, range(1 << 63)),
    ):
        if value not in allowed:
            raise shards.damaged(sample, f"{name} {value} is outside {allowed.start} to {allowed.stop - 1}")
    return info


def read_codes(sample: shards.Sample, info: TokenInfo, codec: Codec) -> shards.IntArray:
    """``[channels, quantizers, frames]``, all of which the model can decode to what ``info`` says. Raises
    :class:`UserError` where it cannot."""
    codes = shards.read_array(sample)
    if info.channels == 1:
        codes = codes[None]
    frames = codec.config.frames_for(model_samples(codec, info.samples, info.sample_rate))
    quantizer = codec.config.quantizer
    if codes.ndim != 3 or (codes.shape[0], codes.shape[2]) != (info.channels, frames):
        raise shards.damaged(sample, f"shape {list(codes.shape)} in place of {[info.channels, 'quantizers', frames]}")
    if not 1 <= codes.shape[1] <= quantizer.codebooks:
        raise shards.damaged(sample, f"{codes.shape[1]} quantizers, of which the model has {quantizer.codebooks}")
    if codes.size and not (0 <= codes.min() and codes.max() < quantizer.size):
        raise shards.damaged(sample, f"codes that are not all from 0 to {quantizer.size - 1}")
    return codes
