"""Decoding by FFmpeg's demuxers and decoders (PyAV).

FFmpeg applies edit lists, encoder delays and the padding that containers state. Corrected here are: the end of MP4,
whose duration is rounded; Opus, which libopus decodes instead of FFmpeg's own decoder; WMA, where FFmpeg drops one
frame too many; ALAC and AAC in CAF, whose padding it removes twice.
"""

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.packet import PacketSideData

from codec.audio.backend import AudioDamage, StreamInfo, UnsupportedAudio
from codec.audio.chunks import read_at
from codec.audio.ffmpeg_packets import (
    FLOAT_OPTIONS,
    STRICT_OPTIONS,
    FormatGuard,
    PacketDecoder,
    create_decoder_context,
    ffmpeg_reason,
)
from codec.audio.file_format import FileFormat
from codec.audio.file_view import FileView
from codec.audio.trimming import Trimmer
from codec.audio.waveform import FloatArray

_BUFFER_BYTES = 1 << 17
_NAMES = {
    "aac": "AAC", "alac": "ALAC", "opus": "OPUS", "vorbis": "VORBIS", "wavpack": "WAVPACK", "mp3": "MPEG_LAYER_III",
    "mp3float": "MPEG_LAYER_III", "mp2": "MPEG_LAYER_II", "mp2float": "MPEG_LAYER_II", "wmav1": "WMA_1",
    "wmav2": "WMA_2", "wmapro": "WMA_PRO", "wmalossless": "WMA_LOSSLESS", "amrnb": "AMR_NB", "amrwb": "AMR_WB",
    "libopencore_amrnb": "AMR_NB", "libopencore_amrwb": "AMR_WB", "ac3": "AC3", "eac3": "EAC3",
}  # fmt: skip
_CHECKED = {"flac", "wavpack", "tta", "ape", "alac"}
"""Lossless codings, in which a wrong checksum is an error."""
_COUNTED = {"FLAC", "WavPack", "TTA", "Monkey's Audio", "TAK"}
"""Containers with an exact number of samples in their header."""
_STREAMS = {"AAC", "AC3", "DTS", "AMR"}
"""Bare sequences of frames; the last one may be incomplete, as in any recording of a stream."""
_OPUS = {"opus", "libopus"}
_WMA = {"wmav1", "wmav2"}
"""Codings whose delay is one frame, while FFmpeg drops two at the start."""
_LONGEST_FRAME = 8192
"""Largest number of samples in a packet of the codings that MP4 holds."""
_ROUNDING_S = Fraction(1, 500)
"""Durations in MP4 are rounded to units of 1/600 s or 1/1000 s."""


class FFmpegDecoder:
    """A file that FFmpeg demuxes and decodes, see :class:`codec.audio.backend.Decoder`.

    Args:
        path: the file
        file_format: its detected format

    Raises:
        UnsupportedAudio: the file cannot be read.
    """

    def __init__(self, path: Path, file_format: FileFormat) -> None:
        self._path, self._file_format = path, file_format
        self._shape = FormatGuard()
        self._delay = 0
        self._open()
        try:
            self._prepare()
            self.stream_info = self._describe()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        file_format = self._file_format
        self._view = FileView(self._path.open("rb"), file_format.start, file_format.end, file_format.patches)
        try:
            self._container = av.open(
                self._view,
                "r",
                format=file_format.demuxer or None,
                metadata_errors="replace",
                buffer_size=_BUFFER_BYTES,
            )
        except (av.error.FFmpegError, ValueError) as error:
            self._view.close()
            raise UnsupportedAudio(ffmpeg_reason(error)) from error
        streams = self._container.streams.audio
        if not streams:
            self.close()
            raise UnsupportedAudio("holds no audio stream")
        default = (stream for stream in streams if stream.disposition & av.stream.Disposition.default)
        self._stream = next(default, streams[0])

    def _prepare(self) -> None:
        """Choose the decoder."""
        context = self._stream.codec_context
        if context is None:
            raise UnsupportedAudio("there is no decoder for its coding; convert it with another program")
        name = context.name
        if name in _OPUS:
            if self._file_format.container == "MPEG-TS":
                reason = "Opus in MPEG-TS has no record of its start and end; convert it with another program"
                raise UnsupportedAudio(reason)
            self._decoder = PacketDecoder(
                create_decoder_context("libopus", "opus", extradata=context.extradata or b""), FLOAT_OPTIONS
            )
            return
        options = dict(STRICT_OPTIONS) if name in _CHECKED else {}
        if name in _WMA:
            self._delay = _wma_frame_samples(name, context.sample_rate)
        if name in _WMA or self._file_format.max_frames is not None:
            options["flags2"] = "+skip_manual"
        self._decoder = PacketDecoder(context, options)

    def _describe(self) -> StreamInfo:
        """Decode the first frame: the container has no information on implicit SBR and parametric stereo."""
        self._blocks = self._decoded()
        self._first = next(self._blocks, None)
        context, container = self._stream.codec_context, self._file_format.container
        rate, channels = self._shape.known or (context.sample_rate, context.layout.nb_channels)
        frames = self._stated(rate)
        subtype = _subtype(context.name, context.extradata or b"")
        others = len(self._container.streams.audio) - 1
        return StreamInfo(container, subtype, rate, channels, frames, others)

    def _stated(self, sample_rate: int) -> int | None:
        """Return the number of samples in the header; None if it has none, or only a duration in milliseconds."""
        if self._file_format.container == "DSF":  # FFmpeg counts whole blocks
            with self._path.open("rb") as file:
                return int.from_bytes(read_at(file, self._file_format.start + 64, 8), "little") // 8 or None
        duration, base = self._stream.duration, self._stream.time_base
        if self._file_format.container not in _COUNTED or not duration or not base:
            return None
        return round(duration * base * sample_rate)

    def blocks(self) -> Iterator[FloatArray]:
        """Decode the file, see :class:`codec.audio.backend.Decoder`.

        Yields:
            float32 ``[channels, n]``.

        Raises:
            AudioDamage: the file is truncated or damaged.
            UnsupportedAudio: something in it cannot be read.
        """
        wanted = self._file_format.max_frames
        trim, done = Trimmer(self._file_format.delay + self._delay), 0
        for block in itertools.chain([] if self._first is None else [self._first], self._blocks):
            for heard in trim.push(block):
                yield heard if wanted is None else heard[:, : max(0, wanted - done)]
                done += heard.shape[1]
        stated = self.stream_info.frames
        if stated is not None and done < stated:
            raise AudioDamage(f"truncated: only {done} of {stated} samples could be read")

    def _decoded(self) -> Iterator[FloatArray]:
        """Decode the packets of the stream; if it is damaged, all up to the damage."""
        end = _End(self._stream, self._container, self._file_format)
        try:
            yield from self._decode_packets(end)
        except AudioDamage:
            yield from end.rest()
            raise

    def _decode_packets(self, end: "_End") -> Iterator[FloatArray]:
        failed: AudioDamage | None = None
        # The last packet of PCM samples may be shorter than the others, which FFmpeg marks as corrupt.
        pcm = self._stream.codec_context.name.startswith("pcm_")
        for number, packet in enumerate(self._packets()):
            if number == 0 and self._stream.codec_context.name in _OPUS:
                self._delay = end.delay = _unstated_delay(packet, self._stream.codec_context.extradata or b"")
            if failed is not None and packet.size:
                raise failed
            if packet.is_corrupt and not pcm:
                failed = self._damage()
                if self._file_format.container not in _STREAMS:
                    raise failed
                continue
            if self._file_format.container == "FLAC" and packet.size and self._is_late(packet):
                raise self._damage("samples are missing")
            try:
                frames = self._decoder.decode(packet if packet.size else None)
            except AudioDamage as error:
                failed = self._damage(error.reason)
                if self._file_format.container not in _STREAMS:
                    raise failed from error
                continue
            end.packet(packet)
            for frame in frames:
                if frame.is_corrupt:
                    failed = self._damage()
                    if self._file_format.container not in _STREAMS:
                        raise failed
                    continue
                yield from end.push(frame, self._shape.to_samples(frame))
        yield from end.finish()

    def _is_late(self, packet: av.Packet) -> bool:
        """Return whether the number of a FLAC frame shows that frames before it are missing.

        Encoders before FLAC 1.2 numbered frames of various sizes as if all had one size, from which FFmpeg computes
        wrong times. If such frames are missing, the stated number of samples shows it.
        """
        sizes = self._stream.codec_context.extradata or b""
        counts = sizes[:2] == sizes[2:4] or bytes(packet)[1] & 1
        return bool(counts) and packet.pts is not None and packet.pts != self._shape.samples

    def _packets(self) -> Iterator[av.Packet]:
        try:
            yield from self._container.demux(self._stream)
        except (av.error.FFmpegError, ValueError) as error:
            raise self._damage(ffmpeg_reason(error)) from error

    def _damage(self, reason: str = "") -> AudioDamage:
        rate, _ = self._shape.known or (1, 0)
        why = f" ({reason})" if reason else ""
        return AudioDamage(f"damaged at {self._shape.samples / rate:.2f} s{why}", reason)

    def close(self) -> None:
        """Close the file."""
        self._container.close()
        self._view.close()


def _unstated_delay(first: av.Packet, head: bytes) -> int:
    """Return how many samples of the delay in ``OpusHead`` (RFC 7845) FFmpeg does not drop.

    Before version 6 it counts them at the rate of the encoder's input, which may be below 48 kHz.
    """
    stated = sum(int.from_bytes(bytes(data)[:4], "little") for data in first.iter_sidedata() if _skips(data))
    delay = int.from_bytes(head[10:12], "little")
    return delay - stated if 0 < stated < delay else 0


def _skips(data: PacketSideData) -> bool:
    return data.data_type == "skip_samples"


def _wma_frame_samples(name: str, sample_rate: int) -> int:
    """Return the length of a WMA frame in samples, which is the delay of its overlapping transform."""
    if sample_rate <= 16000:
        return 512
    if sample_rate <= 22050 or (name == "wmav1" and sample_rate <= 32000):
        return 1024
    return 2048 if sample_rate <= 48000 else 4096


def _subtype(name: str, extradata: bytes) -> str:
    if name == "flac" and len(extradata) >= 34:
        bits = ((extradata[12] & 1) << 4 | extradata[13] >> 4) + 1
        return "PCM_S8" if bits == 8 else f"PCM_{bits}"
    return _NAMES.get(name, name.upper())


class _End:
    """Removal of the padding at the end of MP4, which pads the last frame and rounds its duration."""

    def __init__(self, stream: av.AudioStream, container: av.container.InputContainer, file_format: FileFormat) -> None:
        self._rounded = file_format.container == "MP4"
        self._trim = Trimmer(0, _LONGEST_FRAME if self._rounded else 0)
        self._base = stream.time_base or Fraction(1, 1)
        self._edited_s = stream.duration * self._base if stream.duration else None
        self._count = _itunes_count(container.metadata.get("iTunSMPB", ""))
        self._end_s = Fraction(0)
        self._start_s: Fraction | None = None
        self._rate = self._done = 0
        self.delay = 0
        """Samples at the start that are dropped later and do not count."""

    def packet(self, packet: av.Packet) -> None:
        """Note the times of a packet."""
        if self._rounded and packet.size and packet.pts is not None and packet.duration:
            self._end_s = max(self._end_s, (packet.pts + packet.duration) * self._base)
            if self._start_s is None:
                self._start_s = max(Fraction(0), packet.pts * self._base)

    def push(self, frame: av.AudioFrame, block: FloatArray) -> list[FloatArray]:
        """Return the blocks that are certainly not padding."""
        if not self._rounded:
            return [block]
        self._rate = frame.sample_rate
        self._done += frame.samples
        return self._trim.push(block)

    def rest(self) -> list[FloatArray]:
        """Return the samples that were held back, if the end is missing."""
        return self._trim.end(0)

    def finish(self) -> list[FloatArray]:
        """Return the rest of the samples without padding."""
        if not self._rounded or self._start_s is None:
            return self._trim.end(0)
        end_s = self._end_s - self._start_s
        if self._edited_s is not None and self._edited_s + _ROUNDING_S < end_s:
            end_s = self._edited_s
        wanted = min(round(end_s * self._rate) + self.delay, self._count or self._done)
        padding = self._done - wanted
        return self._trim.end(padding if 0 <= padding < _LONGEST_FRAME else 0)


def _itunes_count(text: str) -> int | None:
    """Return the length in samples from the tag of iTunes and Core Audio: delay, padding and length, in hexadecimal."""
    numbers = text.split()
    try:
        return int(numbers[3], 16) or None
    except (IndexError, ValueError):
        return None
