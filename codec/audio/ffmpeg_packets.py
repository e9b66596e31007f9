"""Decoding of packets by FFmpeg's decoders (PyAV), and their samples as float32 ``[channels, n]``, full scale 1."""

from collections.abc import Sequence

import av
import numpy as np
import numpy.typing as npt
from av.buffer import Buffer

from codec.audio.backend import AudioDamage, UnsupportedAudio
from codec.audio.waveform import FloatArray

av.logging.set_level(None)

STRICT_OPTIONS = {"err_detect": "crccheck+explode"}
"""Decoder options that make damage an error, for codings with checksums."""

FLOAT_OPTIONS = {"request_sample_fmt": "flt"}
"""Decoder options that keep libopus from rounding to 16 bits."""

_MAX_PLANES = 7
"""Maximum number of channels whose planes PyAV gives access to; frames with more channels are interleaved first."""
_TYPES: dict[str, tuple[npt.DTypeLike, float]] = {
    "u8": (np.uint8, 2.0**-7),
    "s16": (np.int16, 2.0**-15),
    "s32": (np.int32, 2.0**-31),
    "s64": (np.int64, 2.0**-63),
    "flt": (np.float32, 1.0),
    "dbl": (np.float64, 1.0),
}
"""Array type and scale factor of each sample format; names of planar formats end in p."""


def frames_to_waveform(frames: Sequence[av.AudioFrame], channels: int) -> FloatArray:
    """Return the samples of decoded frames.

    Args:
        frames: frames in order, in any sample format
        channels: their number of channels

    Returns:
        float32 ``[channels, n]``, full scale 1: integers of ``b`` bits are divided by ``2^(b - 1)``.
    """
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


class FormatGuard:
    """A check that a stream keeps its sample rate and number of channels, with a count of its samples."""

    def __init__(self) -> None:
        self.known: tuple[int, int] | None = None
        """Sample rate in Hz and number of channels; None before the first frame."""
        self.samples = 0
        """Samples per channel so far."""

    def check(self, sample_rate: int, channels: int) -> None:
        """Compare a frame with those before.

        Args:
            sample_rate: its sample rate, in Hz
            channels: its number of channels

        Raises:
            UnsupportedAudio: the sample rate or the number of channels changes here.
        """
        shape = sample_rate, channels
        if self.known is None:
            self.known = shape
        elif shape != self.known:
            old, new = (f"{channels} channels at {rate} Hz" for rate, channels in (self.known, shape))
            raise UnsupportedAudio(
                f"changes from {old} to {new} at {self.samples / self.known[0]:.2f} s; split it there"
            )

    def to_samples(self, *frames: av.AudioFrame) -> FloatArray:
        """Check and count decoded frames.

        Args:
            frames: frames in order

        Returns:
            Their samples, float32 ``[channels, n]``.

        Raises:
            UnsupportedAudio: the sample rate or the number of channels changes here.
        """
        for frame in frames:
            self.check(frame.sample_rate, frame.layout.nb_channels)
            self.samples += frame.samples
        return frames_to_waveform(frames, self.known[1] if self.known else 1)


def create_decoder_context(*names: str, extradata: bytes = b"") -> av.AudioCodecContext:
    """Create a decoder for packets that were found without FFmpeg's demuxers.

    Args:
        names: names of decoders, in order of preference; the first that this build of FFmpeg has is used
        extradata: the decoder's configuration, as containers hold it

    Returns:
        The decoder's context, to be passed to :class:`PacketDecoder`.

    Raises:
        UnsupportedAudio: this build of FFmpeg has none of them.
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
    """A decoder of FFmpeg, on one thread, so that its output does not depend on the machine.

    Args:
        context: context of a stream, or one from :func:`create_decoder_context`
        options: options of the decoder
    """

    def __init__(self, context: av.AudioCodecContext, options: dict[str, str] | None = None) -> None:
        context.thread_count = 1
        context.options = options or {}
        self._context = context

    def decode(self, packet: av.Packet | bytes | None) -> list[av.AudioFrame]:
        """Decode a packet.

        Args:
            packet: the packet; None at the end of the stream

        Returns:
            The frames that are ready.

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
    """Return the reason for an error of FFmpeg.

    Args:
        error: the error

    Returns:
        The reason in one line, without error number and function name.
    """
    text = getattr(error, "strerror", "") or str(error)
    return text[:1].lower() + text[1:]
