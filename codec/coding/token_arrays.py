"""Arrays of codes with their metadata, as shards hold them; both are checked when they are read.

The array of a mono file is ``[codebooks, frames]``, of others ``[channels, codebooks, frames]``, where the channels are
those that the model codes: mid and side for a stereo file whose metadata has ``mid_side``. All frames have all codes.
If the last of the axes is ``ids``, the array has the ids of :mod:`codec.coding.flat_tokens` instead, ``[ids]`` or
``[channels, ids]``.

An array without metadata, such as a language model makes, has the sample rate of the model.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from codec.audio.channels import StereoMode
from codec.audio.waveform import MAX_CHANNELS, SAMPLE_RATES
from codec.bitstream.codes import IntArray
from codec.coding import shards
from codec.coding.flat_tokens import unflatten_ids
from codec.coding.pipeline import model_samples

if TYPE_CHECKING:
    from codec.pretrained.loaded_model import LoadedModel

DTYPE = np.dtype("<i4")
"""Type of the codes that are written, since PyTorch indexes only with integers of 32 and 64 bits. Integers of any kind
are read."""


@dataclass(frozen=True)
class TokenInfo:
    """The metadata of one array. ``sample_rate``, ``channels``, ``samples`` (per channel) and ``seconds`` are those of
    the source. The field names are the keys of the metadata.
    """

    source: str
    sample_rate: int
    channels: int
    samples: int
    seconds: float
    model: str
    """Fingerprint of the model."""
    model_rate: int
    """Sample rate in Hz at which the model works."""
    codebooks: int
    codebook_size: int
    frames: int
    frames_per_second: float
    axes: list[str]
    """Axes of the array: channels (if there are several), then quantizers (the codebooks) and frames, or ids."""
    stereo: StereoMode | None
    """Meaning of the two channels of an array; None for one channel, or for more than two, which are separate."""
    manifest: dict[str, str]
    """The columns of the manifest's row for this file, except its path."""

    @property
    def is_flat(self) -> bool:
        """Whether the array has ids instead of codes."""
        return self.axes[-1:] == ["ids"]

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the model, by the name that headers of ``.nac`` files have for it."""
        return self.model


_TYPES: dict[str, Any] = {
    "source": str, "model": str, "axes": list, "manifest": dict, "stereo": str | None,
    "seconds": float | int, "frames_per_second": float | int,
}  # fmt: skip
"""Types of the fields that are not integers."""


def read_token_info(sample: shards.Sample) -> TokenInfo:
    """Read the metadata of an array.

    Args:
        sample: sample of a shard

    Returns:
        Metadata whose numbers are possible.

    Raises:
        UserError: no metadata, or impossible values.
    """
    found = shards.read_metadata(sample)
    for each in fields(TokenInfo):
        value = found.get(each.name)
        if isinstance(value, bool) or not isinstance(value, _TYPES.get(each.name, int)):
            raise shards.damaged_sample(sample, f"{each.name} is {value!r:.40}")
    info = TokenInfo(**{each.name: found[each.name] for each in fields(TokenInfo)})
    for name, value, allowed in (
        ("sample_rate", info.sample_rate, SAMPLE_RATES),
        ("channels", info.channels, range(1, MAX_CHANNELS + 1)),
        ("samples", info.samples, range(1 << 63)),
    ):
        if value not in allowed:
            raise shards.damaged_sample(sample, f"{name} {value} is outside {allowed.start} to {allowed.stop - 1}")
    return info


def describe_bare_array(sample: shards.Sample, model: LoadedModel) -> TokenInfo:
    """Make the metadata of an array that has none.

    Args:
        sample: an array ``[ids]``, ``[codebooks, frames]`` or ``[channels, codebooks, frames]``
        model: the codec to decode with

    Returns:
        Metadata of audio at the sample rate of the model, as long as the frames reach.

    Raises:
        UserError: no such array.
    """
    array = shards.read_array(sample)
    axes = {1: ["ids"], 2: ["quantizers", "frames"], 3: ["channels", "quantizers", "frames"]}.get(array.ndim)
    if axes is None:
        expected = "[codebooks, frames], [channels, codebooks, frames] or [ids]"
        raise shards.damaged_sample(sample, f"the shape is {list(array.shape)}, not {expected}")
    codes = _unflatten(sample, array, model) if array.ndim == 1 else array
    channels, frames = len(codes) if array.ndim == 3 else 1, codes.shape[-1]
    if channels not in range(1, MAX_CHANNELS + 1):
        raise shards.damaged_sample(sample, f"{channels} channels, not 1 to {MAX_CHANNELS}")
    samples = model.config.samples_of(frames)
    return TokenInfo(
        source=str(sample.name),
        sample_rate=model.sample_rate,
        channels=channels,
        samples=samples,
        seconds=samples / model.sample_rate,
        model=model.fingerprint,
        model_rate=model.sample_rate,
        codebooks=codes.shape[-2],
        codebook_size=model.codebook_size,
        frames=frames,
        frames_per_second=model.frame_rate_hz,
        axes=axes,
        stereo=model.config.stereo if channels == 2 else None,
        manifest={},
    )


def _unflatten(sample: shards.Sample, ids: IntArray, model: LoadedModel, codebooks: int | None = None) -> IntArray:
    try:
        return unflatten_ids(ids, model.codebook_size, codebooks)
    except ValueError as error:
        raise shards.damaged_sample(sample, error) from error


def read_codes(sample: shards.Sample, info: TokenInfo, model: LoadedModel) -> IntArray:
    """Read the codes of an array.

    Args:
        sample: sample of a shard
        info: its metadata
        model: the codec to decode with

    Returns:
        Integers ``[channels, codebooks, frames]`` that the model decodes to the length given in ``info``.

    Raises:
        UserError: no such array.
    """
    codes = shards.read_array(sample)
    if info.is_flat:
        codes = _unflatten(sample, codes, model, info.codebooks)
    if info.channels == 1:
        codes = codes[None]
    frames = model.config.frames_for(model_samples(model, info.samples, info.sample_rate))
    if codes.ndim != 3 or (codes.shape[0], codes.shape[2]) != (info.channels, frames):
        expected = f"[{info.channels}, codebooks, {frames}]"
        raise shards.damaged_sample(sample, f"the shape is {list(codes.shape)}, not {expected}")
    if not 1 <= codes.shape[1] <= model.n_codebooks:
        raise shards.damaged_sample(sample, f"{codes.shape[1]} codebooks, but the model has {model.n_codebooks}")
    if codes.size and not (0 <= codes.min() and codes.max() < model.codebook_size):
        raise shards.damaged_sample(sample, f"codes that are not all from 0 to {model.codebook_size - 1}")
    return codes
