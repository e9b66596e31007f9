"""Opus, MP3 and AAC, the codecs to beat, on the same clips: FFmpeg's encoders and decoders through PyAV, each in its
usual file (Ogg, MP3, MP4) and with its own default rate control. Bits are those of the payload; what the file adds is
stated apart.

The file tells the decoder how much of the beginning is the encoder's delay, to whole samples of 48 kHz and not of every
mode: Opus stays 5 samples of 48 kHz late where SILK codes, and with application "voip" up to 8 early, since its
high-pass filter turns the phase of low tones, by how much depends on the clip. So each decode is moved to where its
cross-correlation with the original is largest, see :mod:`eval.metrics.alignment`. MP3 and AAC are in step as they come.
"""

import importlib.util
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from codec import audio
from codec.audio import resample
from codec.errors import UserError
from eval.metrics.alignment import advance, find_delay
from eval.metrics.functions import Wave
from eval.metrics.registry import is_speech
from eval.systems.own import CodedClip

MOST_DELAY_S = 0.0005
"""A decode is moved by less than this."""
ALIKE = 0.3
"""A decode whose correlation with the original is nowhere this large stays where it is: the place would be chance."""


class Refused(Exception):
    """The codec cannot be had here, or not in this way; says why."""


@dataclass(frozen=True)
class Setting:
    """What the encoder is asked for: ``kbps`` over all channels of sound at ``rate_hz``."""

    rate_hz: int
    kbps: float


@dataclass(frozen=True)
class Lossy:
    """``setting``: of a bit rate in kbit/s, a sample rate in Hz and a number of channels, what the codec has to offer;
    raises :class:`Refused` where that is nothing."""

    name: str
    encoder: str
    file_format: str
    sample_format: str
    setting: Callable[[float, int, int], Setting]


@dataclass(frozen=True)
class LossyResult:
    """``wave`` ``[channels, samples]``, aligned with the original and as long; ``bits`` of all packets;
    ``container_bits`` that the file has besides."""

    wave: Wave
    bits: int
    container_bits: int


def _next_above(rates_hz: Sequence[int], sample_rate: int) -> int:
    """Nothing is lost where the rate is at least the sound's own."""
    return next((hz for hz in rates_hz if hz >= sample_rate), rates_hz[-1])


def _opus(kbps: float, sample_rate: int, channels: int) -> Setting:
    most = min(510, 256 * channels)
    if not 6 <= kbps <= most:
        raise Refused(f"Opus has bit rates of 6 to {most} kbps here")
    return Setting(_next_above((8000, 12000, 16000, 24000, 48000), sample_rate), kbps)


_MPEG_1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MP3_KBPS = {
    **dict.fromkeys((8000, 11025, 12000), _MPEG_2[:8]),
    **dict.fromkeys((16000, 22050, 24000), _MPEG_2),
    **dict.fromkeys((32000, 44100, 48000), _MPEG_1),
}
"""Legal bit rates at each sample rate: ISO 11172-3, ISO 13818-3, and MPEG 2.5 as LAME has it."""


def _mp3(kbps: float, sample_rate: int, channels: int) -> Setting:
    """The nearest legal bit rate. Sound is brought down to 24 kHz where a bit rate is legal only there."""
    rate = _next_above(tuple(_MP3_KBPS), sample_rate)
    if rate > 24000 and kbps < _MPEG_1[0]:
        rate = 24000
    legal = _MP3_KBPS[rate]
    if not legal[0] <= kbps <= legal[-1]:
        raise Refused(f"MP3 has bit rates of {legal[0]} to {legal[-1]} kbps at {rate / 1000:g} kHz")
    return Setting(rate, min(legal, key=lambda entry: abs(entry - kbps)))


_AAC_HZ = (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)


def _aac(kbps: float, sample_rate: int, channels: int) -> Setting:
    """A frame of 1024 samples has at most 6144 bits for each channel."""
    rate = _next_above(_AAC_HZ, sample_rate)
    if kbps > (most := 6 * rate * channels / 1000):
        raise Refused(f"AAC has bit rates of at most {most:g} kbps at {rate / 1000:g} kHz")
    return Setting(rate, kbps)


OPUS = Lossy("Opus", "libopus", "ogg", "flt", _opus)
MP3 = Lossy("MP3", "libmp3lame", "mp3", "fltp", _mp3)
AAC = Lossy("AAC", "aac", "mp4", "fltp", _aac)
"""AAC-LC; FFmpeg's encoder has no more, and spends more than asked for below about 10 kbit/s at 16 kHz."""


def check_rates(rates_kbps: Sequence[float]) -> None:
    """Raises ``UserError`` for what cannot be a bit rate."""
    for kbps in rates_kbps:
        if not (kbps > 0 and math.isfinite(kbps)):
            raise UserError(f"bit rates are above 0 kbps, not {kbps:g}")


def lossy_clips(codec: Lossy, kbps: float, coded: Sequence[CodedClip], folder: Path) -> list[CodedClip]:
    """The same clips coded at ``kbps`` over all channels; decodes are written to ``folder``. No times.

    Raises :class:`Refused`.
    """
    folder.mkdir()
    found = []
    for entry in tqdm(coded, desc=f"code: {codec.name} {kbps:g} kbps", unit="clip"):
        clip = audio.read(entry.original)
        result = round_trip(codec, clip.samples, clip.sample_rate, kbps, speech=is_speech(entry.clip.domain))
        decoded = folder / entry.original.name
        audio.write(decoded, result.wave, clip.sample_rate)
        bytes_, around = result.bits // 8, result.container_bits // 8
        found.append(replace(entry, decoded=decoded, bytes=bytes_, container_bytes=around, encode_s=0.0, decode_s=0.0))
    return found


def lossy_note(codec: Lossy, kbps: float, coded: Sequence[CodedClip]) -> str:
    """What is coded instead, where the codec has not just this bit rate at the clips' sample rate."""
    clip = audio.info(coded[0].original)
    setting = codec.setting(kbps, clip.sample_rate, clip.channels)
    changes = [f"{setting.kbps:g} kbps"] if setting.kbps != kbps else []
    changes += [f"{setting.rate_hz / 1000:g} kHz"] if setting.rate_hz < clip.sample_rate else []
    return f"coded at {' and '.join(changes)}" if changes else ""


def round_trip(codec: Lossy, wave: Wave, sample_rate: int, kbps: float, *, speech: bool) -> LossyResult:
    """Codes and decodes ``[channels, samples]`` (one or two channels) at ``kbps`` over all channels. ``speech`` tells
    Opus which of its applications it is for.

    Raises :class:`Refused` where PyAV or its encoder is missing, the codec has no such bit rate, or the encoder fails.
    """
    if importlib.util.find_spec("av") is None:
        raise Refused("PyAV is not installed; install lathe-codec[eval]")
    import av

    channels = wave.shape[0]
    if channels > 2:
        raise Refused(f"{codec.name} is coded with one or two channels, not {channels}")
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
        raise Refused(f"{codec.encoder}: {error.strerror}") from error
    except ValueError as error:  # an encoder that this build of PyAV lacks
        raise Refused(str(error)) from error
    out = np.concatenate(blocks, 1).astype(np.float32) if blocks else np.zeros((channels, 0), np.float32)
    back = resample(out, decoded_hz, sample_rate)
    return LossyResult(_in_step(back, wave, sample_rate), bits, container_bits)


def _in_step(decoded: Wave, original: Wave, sample_rate: int) -> Wave:
    """As long as the original, and where it resembles it most."""
    samples = original.shape[1]
    decoded = np.pad(decoded, ((0, 0), (0, max(0, samples - decoded.shape[1]))))
    late = find_delay(decoded[:, :samples], original, round(MOST_DELAY_S * sample_rate), ALIKE)
    return advance(decoded, late)[:, :samples]
