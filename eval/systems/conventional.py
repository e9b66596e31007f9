"""Conventional codecs on the same clips: Opus, MP3 and AAC by FFmpeg's encoders and decoders, through PyAV.

Each is coded in its usual file (Ogg, MP3, MP4) and with its own default rate control. Bits are those of the payload;
those of the container are given separately.

The file gives the encoder's delay to the decoder, but only in whole samples of 48 kHz and not for every mode: Opus
stays 5 samples of 48 kHz late if SILK is used, and with application "voip" up to 8 early, since its high-pass filter
turns the phase of low tones by an amount that depends on the clip. So decoded audio is shifted to the maximum of its
cross-correlation with the original, see :mod:`eval.metrics.alignment`. MP3 and AAC come without delay.
"""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from codec import audio
from codec.audio import FloatArray, resample
from codec.errors import UserError
from codec.runtime.progress import ProgressBar
from eval.metrics.alignment import advance, find_delay
from eval.metrics.registry import is_speech
from eval.systems.libopus import libopus_version
from eval.systems.own import CodedClip

_MAX_SHIFT_S = 0.0005
"""Decoded audio is shifted by less than this."""
_MIN_CORRELATION = 0.3
"""Decoded audio is not shifted if its correlation with the original is below this at all lags: the maximum would be
chance."""


class UnavailableError(Exception):
    """The codec is not installed, or cannot code the audio; the message gives the reason."""


@dataclass(frozen=True)
class EncoderSetting:
    """Settings of an encoder."""

    rate_hz: int
    """Sample rate of its input."""
    kbps: float
    """Bit rate over all channels."""


@dataclass(frozen=True)
class ConventionalCodec:
    """A codec of FFmpeg."""

    name: str
    encoder: str
    """FFmpeg's name of the encoder."""
    file_format: str
    """FFmpeg's name of the container."""
    sample_format: str
    """FFmpeg's name of the format of samples that the encoder takes."""
    setting: Callable[[float, int, int], EncoderSetting]
    """Function of a bit rate in kbit/s, a sample rate in Hz and a number of channels: returns the nearest settings that
    the codec offers; raises :class:`UnavailableError` if there are none."""
    edition: Callable[[], str] = str
    """Function that names what figures of the codec depend on beside its settings; an empty text if nothing does."""


@dataclass(frozen=True)
class ConventionalDecode:
    """Audio decoded by a conventional codec, and the bits that it was coded with."""

    waveform: FloatArray
    """``[channels, samples]``, aligned with the original and of the same length."""
    bits: int
    """Bits of all packets."""
    container_bits: int
    """Bits of the container."""


def _next_above(rates_hz: Sequence[int], sample_rate: int) -> int:
    """Return the lowest rate at which nothing is lost, or the highest of all."""
    return next((hz for hz in rates_hz if hz >= sample_rate), rates_hz[-1])


def _opus(kbps: float, sample_rate: int, channels: int) -> EncoderSetting:
    highest = min(510, 256 * channels)
    if not 6 <= kbps <= highest:
        raise UnavailableError(f"Opus has bit rates of 6 to {highest} kbps for {channels} channels")
    return EncoderSetting(_next_above((8000, 12000, 16000, 24000, 48000), sample_rate), kbps)


_MPEG_1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MP3_KBPS = {
    **dict.fromkeys((8000, 11025, 12000), _MPEG_2[:8]),
    **dict.fromkeys((16000, 22050, 24000), _MPEG_2),
    **dict.fromkeys((32000, 44100, 48000), _MPEG_1),
}
"""Legal bit rates at each sample rate: ISO 11172-3, ISO 13818-3, and MPEG 2.5 as LAME has it."""


def _mp3(kbps: float, sample_rate: int, channels: int) -> EncoderSetting:
    """Return the nearest legal bit rate, at 24 kHz if it is legal at no higher sample rate."""
    rate = _next_above(tuple(_MP3_KBPS), sample_rate)
    if rate > 24000 and kbps < _MPEG_1[0]:
        rate = 24000
    legal = _MP3_KBPS[rate]
    if not legal[0] <= kbps <= legal[-1]:
        raise UnavailableError(f"MP3 has bit rates of {legal[0]} to {legal[-1]} kbps at {rate / 1000:g} kHz")
    return EncoderSetting(rate, min(legal, key=lambda entry: abs(entry - kbps)))


_AAC_HZ = (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)


def _aac(kbps: float, sample_rate: int, channels: int) -> EncoderSetting:
    """Return the requested bit rate: a frame of 1024 samples has at most 6144 bits for each channel."""
    rate = _next_above(_AAC_HZ, sample_rate)
    if kbps > (highest := 6 * rate * channels / 1000):
        raise UnavailableError(f"AAC has bit rates of at most {highest:g} kbps at {rate / 1000:g} kHz")
    return EncoderSetting(rate, kbps)


def _opus_edition() -> str:
    """Name the encoder, and what the decoder, FFmpeg's own, lacks: LACE and NoLACE of libopus from 1.5 on."""
    return f"{libopus_version()}, without ML enhancement"


OPUS = ConventionalCodec("Opus", "libopus", "ogg", "flt", _opus, _opus_edition)
MP3 = ConventionalCodec("MP3", "libmp3lame", "mp3", "fltp", _mp3)
AAC = ConventionalCodec("AAC", "aac", "mp4", "fltp", _aac)
"""AAC-LC, the only profile of FFmpeg's encoder; it exceeds the requested bit rate below about 10 kbit/s at 16 kHz."""


def check_rates(rates_kbps: Sequence[float]) -> None:
    """Check that numbers are possible bit rates.

    Args:
        rates_kbps: bit rates in kbit/s.

    Raises:
        UserError: one is not above 0, or not finite.
    """
    for kbps in rates_kbps:
        if not (kbps > 0 and math.isfinite(kbps)):
            raise UserError(f"a bit rate must be above 0 kbps, not {kbps:g}")


def code_conventionally(
    codec: ConventionalCodec, kbps: float, coded: Sequence[CodedClip], folder: Path
) -> list[CodedClip]:
    """Encode and decode clips with a conventional codec.

    Args:
        codec: codec such as :data:`OPUS`.
        kbps: bit rate over all channels.
        coded: the clips as a model coded them.
        folder: folder to create for the decoded files.

    Returns:
        The same clips in the same order, without times.

    Raises:
        UnavailableError: see :func:`round_trip`.
    """
    folder.mkdir()
    found = []
    for entry in ProgressBar(coded, desc=f"code: {codec.name} {kbps:g} kbps", unit="clip"):
        clip = audio.read(entry.original)
        result = round_trip(codec, clip.samples, clip.sample_rate, kbps, speech=is_speech(entry.clip.domain))
        decoded = folder / entry.original.name
        audio.write(decoded, result.waveform, clip.sample_rate)
        bytes_, around = result.bits // 8, result.container_bits // 8
        found.append(replace(entry, decoded=decoded, bytes=bytes_, container_bytes=around, encode_s=0.0, decode_s=0.0))
    return found


def describe_setting(codec: ConventionalCodec, kbps: float, coded: Sequence[CodedClip]) -> str:
    """Describe the edition of a codec, and the bit rate and sample rate in use if it does not offer the requested ones.

    Args:
        codec: codec such as :data:`OPUS`.
        kbps: requested bit rate over all channels.
        coded: the clips, of one sample rate.

    Returns:
        A phrase such as "coded at 32 kbps and 24 kHz"; empty if the codec has no edition and offers this bit rate at
        the clips' sample rate.
    """
    clip = audio.info(coded[0].original)
    setting = codec.setting(kbps, clip.sample_rate, clip.channels)
    changes = [f"{setting.kbps:g} kbps"] if setting.kbps != kbps else []
    changes += [f"{setting.rate_hz / 1000:g} kHz"] if setting.rate_hz < clip.sample_rate else []
    return "; ".join(filter(None, [codec.edition(), f"coded at {' and '.join(changes)}" if changes else ""]))


def round_trip(
    codec: ConventionalCodec, wave: FloatArray, sample_rate: int, kbps: float, *, speech: bool
) -> ConventionalDecode:
    """Encode and decode a waveform.

    Args:
        codec: codec such as :data:`OPUS`.
        wave: waveform ``[channels, samples]`` of one or two channels.
        sample_rate: sample rate in Hz.
        kbps: bit rate over all channels.
        speech: use the application "voip" of Opus instead of "audio".

    Returns:
        The aligned decoded audio and the bits that it was coded with.

    Raises:
        UnavailableError: FFmpeg has no such encoder here, the codec has no such bit rate, or the encoder fails.
    """
    import av

    channels = wave.shape[0]
    if channels > 2:
        raise UnavailableError(f"{codec.name} is coded with one or two channels, not {channels}")
    setting = codec.setting(kbps, sample_rate, channels)
    source = np.ascontiguousarray(resample(wave, sample_rate, setting.rate_hz), np.float32)
    layout = "mono" if channels == 1 else "stereo"
    frame = av.AudioFrame.from_ndarray(source, format="fltp", layout=layout)
    frame.sample_rate, frame.pts = setting.rate_hz, 0
    file = io.BytesIO()
    options = {"application": "voip" if speech else "audio"} if codec is OPUS else {}
    bits = 0
    try:
        with av.open(file, "w", format=codec.file_format) as writer:
            stream = writer.add_stream(codec.encoder, rate=setting.rate_hz, options=options)
            assert isinstance(stream, av.AudioStream)
            stream.layout, stream.format = layout, codec.sample_format
            stream.bit_rate = round(1000 * setting.kbps)
            for packet in (*stream.encode(frame), *stream.encode(None)):
                bits += 8 * packet.size
                writer.mux(packet)
        container_bits = 8 * len(file.getvalue()) - bits
        file.seek(0)
        with av.open(file, "r") as reader:
            decoded_hz = reader.streams.audio[0].rate
            blocks = [block.to_ndarray() for block in reader.decode(audio=0)]
    except av.error.FFmpegError as error:
        raise UnavailableError(f"{codec.encoder}: {error.strerror}") from error
    except ValueError as error:  # this build of PyAV lacks the encoder
        raise UnavailableError(str(error)) from error
    out = np.concatenate(blocks, 1).astype(np.float32) if blocks else np.zeros((channels, 0), np.float32)
    back = resample(out, decoded_hz, sample_rate)
    return ConventionalDecode(_align(back, wave, sample_rate), bits, container_bits)


def _align(decoded: FloatArray, original: FloatArray, sample_rate: int) -> FloatArray:
    """Truncate or pad decoded audio to the length of the original, and shift it to the best alignment."""
    samples = original.shape[1]
    decoded = np.pad(decoded, ((0, 0), (0, max(0, samples - decoded.shape[1]))))
    delay = find_delay(decoded[:, :samples], original, round(_MAX_SHIFT_S * sample_rate), _MIN_CORRELATION)
    return advance(decoded, delay)[:, :samples]
