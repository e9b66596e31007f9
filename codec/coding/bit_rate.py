"""Bit rates and numbers of codebooks: those of a model, and the choice for a file."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from codec.bitstream.codes import CodeArray
from codec.bitstream.file_layout import FileLayout
from codec.bitstream.framing import MAX_PACKET_FRAMES, PACKET_OVERHEAD_BYTES, packet_frames
from codec.bitstream.header import WORD_BYTES, Header
from codec.bitstream.live import FRAME_CHECKSUM_BYTES
from codec.coding.options import CodingOptions
from codec.errors import UserError

if TYPE_CHECKING:
    from codec.bitstream.rate_control import RateControl
    from codec.pretrained.loaded_model import LoadedModel


def expected_bits(
    frequencies: npt.NDArray[np.integer[Any]], shares: npt.NDArray[np.integer[Any]] | None
) -> npt.NDArray[np.float64]:
    """Compute the average cost of a code if codes occur as often as the frequency tables predict.

    Args:
        frequencies: integer frequencies ``[codebooks, size]``, or ``[codebooks, classes, size]`` with context classes
        shares: frequencies ``[codebooks, classes]`` of the context classes, None without them

    Returns:
        Bits per code ``[codebooks]``.

    >>> expected_bits(np.array([[2, 1, 1], [4, 4, 8]]), None)
    array([1.5, 1.5])
    """
    weights = frequencies / frequencies.sum(-1, keepdims=True)
    bits = -(weights * np.log2(weights)).sum(-1)
    return bits if shares is None else (bits * shares / shares.sum(-1, keepdims=True)).sum(-1)


def expected_kbps(code_bits: npt.NDArray[np.float64], frame_rate_hz: float, channels: int) -> list[float]:
    """Estimate the bit rate of a file with 1, 2, … codebooks.

    Counts the packets around the payloads, and half a word per packet that range coding loses at its end; not the
    header, which matters only in short files.

    Args:
        code_bits: bits per code of each codebook, from :func:`expected_bits`
        frame_rate_hz: latent frames per second
        channels: number of channels of the file

    Returns:
        Bit rates in kbit/s, all channels together, one for each number of codebooks.
    """
    frame_bits = channels * code_bits.cumsum()
    frame_bits = frame_bits + 8 * (PACKET_OVERHEAD_BYTES + WORD_BYTES / 2) / packet_frames(frame_rate_hz)
    rates: list[float] = (frame_bits * frame_rate_hz / 1000).tolist()
    return rates


def check_options(model: LoadedModel, options: CodingOptions) -> None:
    """Check that a model can encode with these options.

    Args:
        model: encodes
        options: options of encoding

    Raises:
        UserError: more codebooks than the model has, or none, or packets of more frames than a file can hold.
    """
    if options.packet_s is not None and round(options.packet_s * model.frame_rate_hz) > MAX_PACKET_FRAMES:
        most_s = MAX_PACKET_FRAMES / model.frame_rate_hz
        raise UserError(f"packets of this model last at most {most_s:g} s, not {options.packet_s:g} s")
    if options.codebooks is not None and not 1 <= options.codebooks <= model.n_codebooks:
        raise UserError(f"this model has 1 to {model.n_codebooks} codebooks, not {options.codebooks}")


def choose_codebooks(model: LoadedModel, channels: int, options: CodingOptions) -> int:
    """Choose how many codebooks a file uses.

    Args:
        model: encodes
        channels: number of channels of the file
        options: options of encoding

    Returns:
        The number asked for, or all of them; if there is a bit rate and all frames have the same number of codes, as
        many of these as are expected to stay within it, and at least one.

    Raises:
        UserError: more codebooks than the model has, or none.
    """
    check_options(model, options)
    most = options.codebooks or model.n_codebooks
    if options.kbps is None or model.has_variable_rate:
        return most
    return min(most, max(1, sum(rate <= options.kbps + 1e-6 for rate in model.expected_kbps(channels))))


def describe_unreachable_rate(model: LoadedModel, kbps: float, channels: int) -> str | None:
    """Describe the result of a bit rate that a model does not have.

    Args:
        model: encodes
        kbps: bit rate asked for, in kbit/s
        channels: number of channels of a file

    Returns:
        A sentence that begins with the model's name, or None if the model has this bit rate.
    """
    rates = model.expected_kbps(channels)
    least, most = rates[0], rates[-1]
    plural = "s" if channels > 1 else ""
    has = f"{model.name or 'the model'} has {least:.2g} to {most:.2g} kbit/s for {channels} channel{plural}"
    if kbps > most:
        return f"{has}; --kbps {kbps:g} is above that, so files get all codes"
    if kbps < least:
        what = "some frames are left without codes" if model.has_variable_rate else "every frame gets one code"
        return f"{has}; --kbps {kbps:g} is below that, so {what}"
    return None


def check_live_rate(model: LoadedModel, header: Header) -> None:
    """Check that a live stream has bits left for codes.

    Args:
        model: encodes
        header: header of the stream

    Raises:
        UserError: the bit rate is not above that of frames without codes.
    """
    least = 8 * (header.channels + FRAME_CHECKSUM_BYTES) * model.frame_rate_hz
    if 0 < header.target_bps <= least:
        raise UserError(
            f"a live stream of this model takes {least / 1000:.3g} kbit/s without any codes; give a higher --kbps, or"
            " encode a file"
        )


def new_header(
    model: LoadedModel, sample_rate: int, channels: int, options: CodingOptions, *, live: bool = False
) -> Header:
    """Build the header of a file or stream that is about to be encoded.

    Args:
        model: encodes
        sample_rate: sample rate of the source in Hz
        channels: number of channels of the source
        options: options of encoding
        live: whether it is a live stream, whose packets are single frames with codes of fixed width

    Returns:
        The header, whose numbers of samples and frames are still 0.

    Raises:
        UserError: more codebooks than the model has, or none.
    """
    by_rate = options.kbps is not None
    check_options(model, options)
    most = options.codebooks or model.n_codebooks
    return Header(
        fingerprint=model.fingerprint,
        sample_rate=sample_rate,
        channels=channels,
        model_rate=model.sample_rate,
        latent_hop=model.config.latent_hop,
        codebooks=most if live and by_rate else choose_codebooks(model, channels, options),
        bits_per_code=model.config.bits_per_code,
        packet_frames=1 if live else options.packet_frames(model.frame_rate_hz),
        live=live,
        variable=by_rate and (live or model.has_variable_rate),
        target_bps=options.target_bps,
    )


def new_rate_control(header: Header, layout: FileLayout, cost: Callable[[CodeArray], float]) -> RateControl:
    """Build the rate control for one file or stream.

    Args:
        header: bit rate, and whether frames may have different numbers of codes
        layout: layout of the file or stream
        cost: function from a packet of codes to the bits of its payload

    Returns:
        A rate control that lets all codes pass unless frames may have different numbers of them.
    """
    from codec.bitstream.rate_control import RateControl

    kbps = header.target_bps / 1000 if header.variable else math.inf
    return RateControl(kbps, header.model_rate / header.latent_hop, layout, cost)
