"""Decoding of Ogg: our own parser of pages and packets, libopus or FFmpeg's decoders.

A file may be a chain of streams, one after the other, like recordings of internet radio; all of them are read. Granule
positions on the pages give the start and end of each. Opus is always decoded at 48 kHz: the sample
rate in its header is that of the encoder's input and may be unspecified (RFC 7845, section 5.1). FFmpeg's decoders
return channels in the order of WAV.

Sources: RFC 3533 and 7845, Vorbis I specification (section A.2), the Ogg mapping of FLAC and Speex (xiph.org).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from codec.audio.backend import AudioDamage, StreamInfo, UnsupportedAudio
from codec.audio.ffmpeg_packets import FLOAT_OPTIONS, STRICT_OPTIONS, FormatGuard, PacketDecoder, create_decoder_context
from codec.audio.file_format import FileFormat
from codec.audio.ogg_pages import Page, iter_pages, read_last_granule
from codec.audio.trimming import Trimmer
from codec.audio.waveform import FloatArray

_OPUS_HZ = 48000
_LONGEST_PAGE = 1 << 16
"""Samples that are held back until the last page of a stream gives the number of padding samples."""


@dataclass(frozen=True)
class StreamHeader:
    """The first packet of an audio stream: the properties of the stream."""

    subtype: str
    sample_rate: int
    channels: int
    headers: int
    """Number of packets before the audio."""
    delay: int = 0
    """Samples at the start that granule positions count and that are dropped."""


def parse_stream_header(packet: bytes) -> StreamHeader | None:
    """Parse the first packet of a stream.

    Args:
        packet: the packet

    Returns:
        The properties of the stream; None if it is not of a supported coding.
    """
    if packet.startswith(b"OpusHead") and len(packet) >= 19:
        return StreamHeader("OPUS", _OPUS_HZ, packet[9], 2, int.from_bytes(packet[10:12], "little"))
    if packet.startswith(b"\x01vorbis") and len(packet) >= 30:
        return StreamHeader("VORBIS", int.from_bytes(packet[12:16], "little"), packet[11], 3)
    if packet.startswith(b"\x7fFLAC") and len(packet) >= 51:
        info = packet[17:51]
        bits = ((info[12] & 1) << 4 | info[13] >> 4) + 1
        rate, channels = int.from_bytes(info[10:13], "big") >> 4, (info[12] >> 1 & 7) + 1
        return StreamHeader("PCM_S8" if bits == 8 else f"PCM_{bits}", rate, channels, 1)
    if packet.startswith(b"Speex   ") and len(packet) >= 80:
        rate, _, _, channels = struct.unpack_from("<iiii", packet, 36)
        return StreamHeader("SPEEX", rate, channels, 2 + int.from_bytes(packet[68:72], "little"))
    return None


class OggDecoder:
    """An Ogg file of Opus, Vorbis, FLAC or Speex, see :class:`codec.audio.backend.Decoder`.

    Args:
        path: the file
        file_format: its detected format

    Raises:
        UnsupportedAudio: the file cannot be read.
    """

    def __init__(self, path: Path, file_format: FileFormat) -> None:
        self._file_format = file_format
        self._file = path.open("rb")
        serials: dict[int, StreamHeader] = {}
        for page in iter_pages(self._file, file_format.start):
            if not page.first:
                break
            if head := parse_stream_header(page.packets[0] if page.packets else b""):
                serials[page.serial] = head
        if not serials:
            self._file.close()
            raise UnsupportedAudio("Ogg without a stream of Opus, Vorbis, FLAC or Speex")
        serial, head = next(iter(serials.items()))
        granule = read_last_granule(self._file, file_format.end, serial)
        frames = None if granule is None else max(0, granule - head.delay)
        self.stream_info = StreamInfo(
            "OGG", head.subtype, head.sample_rate, head.channels, frames, other_streams=len(serials) - 1
        )

    def blocks(self) -> Iterator[FloatArray]:
        """Decode the file, see :class:`codec.audio.backend.Decoder`.

        Yields:
            float32 ``[channels, n]``.

        Raises:
            AudioDamage: the file is truncated or damaged.
            UnsupportedAudio: something in it cannot be read.
        """
        shape = FormatGuard()
        stream: _LogicalStream | None = None
        beginning = True
        try:
            for page in iter_pages(self._file, self._file_format.start):
                if page.first:
                    if not beginning or stream is None:
                        if stream is not None:
                            yield from stream.finish(followed=True)
                        stream, beginning = None, True
                    head = parse_stream_header(page.packets[0] if page.packets else b"")
                    if stream is None and head is not None:
                        stream = _LogicalStream(page.serial, head, shape)
                else:
                    beginning = False
                if stream is not None and page.serial == stream.serial:
                    yield from stream.push(page)
            if stream is not None:
                yield from stream.finish(followed=False)
        except AudioDamage:
            if stream is not None:
                yield from stream.rest()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def open_packet_decoder(head: StreamHeader, headers: list[bytes]) -> PacketDecoder:
    """Open the decoder of a stream.

    Args:
        head: its properties
        headers: all packets before the audio

    Returns:
        A decoder of packets.
    """
    first = headers[0]
    if head.subtype == "OPUS":
        return PacketDecoder(
            create_decoder_context("libopus", "opus", extradata=first), FLOAT_OPTIONS | {"flags2": "+skip_manual"}
        )
    if head.subtype == "VORBIS":
        # Three packets, the lengths of the first two before them (Xiph lacing).
        lengths = b"".join(b"\xff" * (len(one) // 255) + bytes([len(one) % 255]) for one in headers[:2])
        extradata = b"\x02" + lengths + b"".join(headers)
        return PacketDecoder(create_decoder_context("vorbis", "libvorbis", extradata=extradata))
    if head.subtype == "SPEEX":
        return PacketDecoder(create_decoder_context("speex", "libspeex", extradata=first))
    return PacketDecoder(create_decoder_context("flac", extradata=first[17:51]), STRICT_OPTIONS)


class _LogicalStream:
    """One logical stream (RFC 3533) of the chain."""

    def __init__(self, serial: int, head: StreamHeader, shape: FormatGuard) -> None:
        self.serial = serial
        self._head, self._shape = head, shape
        self._headers: list[bytes] = []
        self._part = b""
        self._decoder: PacketDecoder | None = None
        self._trim = Trimmer(0)
        self._done = 0
        """Samples in the packets so far, including those that are dropped."""
        self._offset: int | None = None
        """Granule position before the first sample."""
        self._end: int | None = None
        """Granule position after the last sample, if the last page gives it."""
        self._ended = False
        self._sequence: int | None = None

    def push(self, page: Page) -> Iterator[FloatArray]:
        """Decode a page."""
        if self._ended:
            raise AudioDamage(f"damaged: a page at byte {page.start} after the end of its stream")
        if self._sequence is not None and page.sequence != self._sequence + 1:
            raise AudioDamage(f"damaged: pages are missing before byte {page.start}")
        self._sequence = page.sequence
        blocks: list[FloatArray] = []
        for number, part in enumerate(page.packets):
            if number == 0 and page.continued:
                part = self._part + part
            self._part = b""
            if number == len(page.packets) - 1 and not page.complete:
                self._part = part
            elif len(self._headers) < self._head.headers:
                self._headers.append(part)
            elif self._head.subtype.startswith("PCM_") and part[:1] != b"\xff":
                continue  # a further header of FLAC
            else:
                blocks += self._decode(part)
        self._ended = page.last
        yield from self._place(page, blocks)

    def _decode(self, packet: bytes) -> list[FloatArray]:
        if self._decoder is None:
            self._decoder = open_packet_decoder(self._head, self._headers)
        try:
            frames = self._decoder.decode(packet) if packet else []
        except AudioDamage as error:
            raise AudioDamage(f"damaged at {self._shape.samples / self._head.sample_rate:.2f} s ({error})") from error
        return [self._shape.to_samples(frame) for frame in frames]

    def _place(self, page: Page, blocks: list[FloatArray]) -> Iterator[FloatArray]:
        """Yield samples of a page, placed by its granule position."""
        here = sum(block.shape[1] for block in blocks)
        self._done += here
        if page.granule is not None and self._offset is None and self._done:
            offset = page.granule - self._done
            # A page that is both the first and the last gives the end of the audio.
            self._offset = 0 if page.last and offset < 0 else offset
            self._trim = Trimmer(self._head.delay + max(0, -self._offset), _LONGEST_PAGE)
        if page.last and page.granule is not None:
            self._end = page.granule
        for block in blocks:
            yield from self._trim.push(block)

    def rest(self) -> list[FloatArray]:
        """Return the samples that were held back, if the stream is damaged before its end."""
        return self._trim.end(0)

    def finish(self, followed: bool) -> Iterator[FloatArray]:
        """Yield the rest of the stream.

        Args:
            followed: whether another stream follows, so that this one ends even if no page marks its end
        """
        if self._part or not (self._ended or followed):
            raise AudioDamage("truncated: no page marks the end of the stream")
        padding = 0
        if self._end is not None and self._offset is not None:
            padding = max(0, self._done - (self._end - self._offset))
        yield from self._trim.end(padding)
