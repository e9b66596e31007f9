"""FFmpeg's decoders on packets, through PyAV: float32 ``[channels, n]``, full scale 1."""

from collections.abc import Sequence

import av
import numpy as np
import numpy.typing as npt
from av.buffer import Buffer

from codec.audio.backend import AudioDamage, UnsupportedAudio
from codec.audio.waveform import FloatArray

av.logging.set_level(None)

STRICT = {"err_detect": "crccheck+explode"}
"""Options under which damage is an error, for codings with checksums."""

FLOAT = {"request_sample_fmt": "flt"}
"""Options under which libopus does not round to 16 bits."""

_MAX_PLANES = 7
"""PyAV does not tell the planes of frames that have more; those are interleaved first."""
_TYPES: dict[str, tuple[npt.DTypeLike, float]] = {
    "u8": (np.uint8, 2.0**-7),
    "s16": (np.int16, 2.0**-15),
    "s32": (np.int32, 2.0**-31),
    "s64": (np.int64, 2.0**-63),
    "flt": (np.float32, 1.0),
    "dbl": (np.float64, 1.0),
}
"""Of each sample format, and what its values are multiplied by; planar formats have a p behind the name."""


def frames_to_waveform(frames: Sequence[av.AudioFrame], channels: int) -> FloatArray:
    """Return the samples of frames, ``[channels, n]``; an integer of so many bits is divided by 2^(bits - 1)."""
    wave = np.empty((channels, sum(frame.samples for frame in frames)), np.float32)
    at = 0
    for frame in frames:
        name, length = frame.format.name, frame.samples
        if name[-1] == "p" and channels > _MAX_PLANES:
            name = name[:-1]
            (frame,) = av.AudioResampler(format=name).resample(frame)
        kind, scale = _TYPES[name.rstrip("p")]
        part = wave[:, at : at + length]
        if name[-1] == "p":
            for row, plane in zip(part, frame.planes):
                row[:] = _values(plane, kind, length)
        else:
            part[:] = _values(frame.planes[0], kind, channels * length).reshape(length, channels).T
        if scale != 1.0:
            part *= np.float32(scale)
        if kind is np.uint8:
            part -= 1
        at += length
    return wave


def _values(plane: Buffer, kind: npt.DTypeLike, count: int) -> npt.NDArray[np.generic]:
    found: npt.NDArray[np.generic] = np.frombuffer(memoryview(plane), kind, count)  # type: ignore[arg-type]
    return found


class SameShape:
    """Hold a stream to one sample rate and one number of channels: what is coded has a single one of each."""

    def __init__(self) -> None:
        self.known: tuple[int, int] | None = None
        self.samples = 0

    def check(self, sample_rate: int, channels: int) -> None:
        """Compare with what came before.

        Raises:
            UnsupportedAudio: the rate or the channels change here.
        """
        shape = sample_rate, channels
        if self.known is None:
            self.known = shape
        elif shape != self.known:
            old, new = (f"{channels} channels at {rate} Hz" for rate, channels in (self.known, shape))
            raise UnsupportedAudio(
                f"changes from {old} to {new} at {self.samples / self.known[0]:.2f} s; split it there"
            )

    def pass_on(self, *frames: av.AudioFrame) -> FloatArray:
        """Check decoded frames, count them, and return their samples, ``[channels, n]``."""
        for frame in frames:
            self.check(frame.sample_rate, frame.layout.nb_channels)
            self.samples += frame.samples
        return frames_to_waveform(frames, self.known[1] if self.known else 1)


def decoder_context(*names: str, extradata: bytes = b"") -> av.AudioCodecContext:
    """Return a decoder for packets that were found without FFmpeg's demuxers.

    Args:
        names: decoders to choose from, the first that this build of FFmpeg has.
        extradata: what containers keep for the decoder.

    Raises:
        UnsupportedAudio: there is none of them.
    """
    codec = next((found for name in names if (found := _codec(name)) is not None), None)
    if codec is None:
        raise UnsupportedAudio(f"this build of FFmpeg has no decoder for {names[0]}; install PyAV from its wheel")
    context = av.CodecContext.create(codec, "r")
    assert isinstance(context, av.AudioCodecContext)
    if extradata:
        context.extradata = extradata
    return context


class PacketDecoder:
    """One of FFmpeg's decoders. One thread: what it gives does not depend on the machine.

    Args:
        context: that of a stream, or from :func:`decoder_context`.
        options: of the decoder.
    """

    def __init__(self, context: av.AudioCodecContext, options: dict[str, str] | None = None) -> None:
        context.thread_count = 1
        context.options = options or {}
        self._context = context

    def decode(self, packet: av.Packet | bytes | None) -> list[av.AudioFrame]:
        """Return the frames of a packet, or with None those that the decoder holds.

        Raises:
            AudioDamage: the packet cannot be decoded.
        """
        try:
            return self._context.decode(av.Packet(packet) if isinstance(packet, bytes) else packet)
        except (av.error.FFmpegError, ValueError) as error:
            raise AudioDamage(ffmpeg_reason(error)) from error


def _codec(name: str) -> av.Codec | None:
    try:
        return av.Codec(name, "r")
    except (ValueError, av.error.FFmpegError):
        return None


def ffmpeg_reason(error: Exception) -> str:
    """The reason alone, without the names of functions and numbers."""
    text = getattr(error, "strerror", "") or str(error)
    return text[:1].lower() + text[1:]
