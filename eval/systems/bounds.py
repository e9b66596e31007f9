"""Bounds of a model's quality: that of the model without quantizer, and that of its linear transform alone.

They show what limits a model. "Without quantizer" is the limit of the model with any number of codebooks: where all
codes come near to it, more bits do not help, and it is the networks or the dimension of the latent that limit. "KLT
alone" is the limit of a linear transform of that dimension, the Karhunen-Loève transform of the compressed MDCT
coefficients (N. S. Jayant, P. Noll, "Digital coding of waveforms", 1984, chapter 12): what lies between the two is due
to the networks.

Bounds are not operating points: they have no bit rate, and no verdict compares anything with them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from codec import audio
from codec.audio import FloatArray
from codec.audio.channels import channels_to_streams, streams_to_channels
from codec.model.codec import Codec
from codec.runtime.progress import ProgressBar
from codec.runtime.torch_threads import torch_threads
from eval.systems.baselines import CodedSystem
from eval.systems.own import CodedClip
from eval.systems.system import BOUND, System


@dataclass(frozen=True)
class Bound:
    """A bound of the quality of a model."""

    name: str
    """Name in tables."""
    decode_streams: Callable[[Codec, FloatArray], FloatArray]
    """From streams to decoded streams, both ``[streams, 1, samples]``."""

    def decode(self, codec: Codec, waveform: FloatArray) -> FloatArray:
        """Encode and decode a waveform.

        Args:
            codec: the model.
            waveform: ``[channels, samples]`` at the model's sample rate.

        Returns:
            ``[channels, samples]``.
        """
        stereo = codec.config.stereo
        streams = channels_to_streams(np.ascontiguousarray(waveform), stereo)
        return streams_to_channels(self.decode_streams(codec, streams), stereo)


def _decode_unquantized(codec: Codec, streams: FloatArray) -> FloatArray:
    encoder, decoder = (
        codec.stream_encoder(len(streams), quantize=False),
        codec.stream_decoder(len(streams), quantized=False),
    )
    latents = np.concatenate([encoder.push(streams).codes, encoder.flush().codes], 2)
    return np.concatenate([decoder.push(latents), decoder.flush()], 2)[..., : streams.shape[-1]]


def _decode_transformed(codec: Codec, streams: FloatArray) -> FloatArray:
    return codec.transform_round_trip(torch.from_numpy(streams).to(codec.spread.device)).cpu().numpy()


WITHOUT_QUANTIZER = Bound("without quantizer", _decode_unquantized)
KLT_ALONE = Bound("KLT alone", _decode_transformed)


def bounds_of(codec: Codec) -> list[Bound]:
    """List the bounds of a model.

    Args:
        codec: the model.

    Returns:
        Without quantizer, and KLT alone unless its skip paths were trained or widened, and so are no KLT any more.
    """
    return [WITHOUT_QUANTIZER, *([KLT_ALONE] if codec.is_transform_fixed else [])]


def missing_bounds(codec: Codec) -> dict[str, str]:
    """List the bounds that a model does not have.

    Args:
        codec: the model.

    Returns:
        Name of the bound to the reason.
    """
    changed = "the skip paths of this model were trained or widened, and are no KLT any more"
    return {} if codec.is_transform_fixed else {KLT_ALONE.name: changed}


def code_bounds(codec: Codec, coded: Sequence[CodedClip], work: Path) -> list[CodedSystem]:
    """Encode and decode clips at the bounds of a model.

    Args:
        codec: the model.
        coded: the clips as the model coded them.
        work: folder for the decoded files.

    Returns:
        The bounds of :func:`bounds_of` as systems without a bit rate.
    """
    systems = []
    with torch_threads(1):
        for number, bound in enumerate(bounds_of(codec)):
            folder = work / f"bound-{number}"
            folder.mkdir()
            clips = []
            for entry in ProgressBar(coded, desc=f"bound: {bound.name}", unit="clip"):
                original, decoded = audio.read(entry.original), folder / entry.decoded.name
                audio.write(decoded, bound.decode(codec, original.samples), original.sample_rate)
                clips.append(replace(entry, decoded=decoded, bytes=None, encode_s=0.0, decode_s=0.0))
            systems.append(CodedSystem(System(bound.name, BOUND), clips))
    return systems
