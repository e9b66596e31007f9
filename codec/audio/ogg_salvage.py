"""The intact pages of a damaged Ogg file behind the first damage; their granule positions give their places."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from codec.audio.backend import AudioDamage
from codec.audio.ffmpeg_packets import FormatGuard, PacketDecoder
from codec.audio.ogg_decoder import StreamHeader, open_packet_decoder, parse_stream_header
from codec.audio.ogg_pages import Page, iter_intact_pages
from codec.audio.waveform import FloatArray

_PREROLL = {"OPUS": 3840, "SPEEX": 1600}
"""Samples until a decoder that begins in the middle of a stream has converged, of Opus 80 ms (RFC 7845, 4.6)."""
_EARLIER_S = 2
"""Seconds that are decoded before the first sample that is wanted."""


def intact_pages(path: Path, start: int, first: int) -> Iterator[tuple[int, FloatArray]]:
    """Decode the intact pages of a file from a sample on.

    Args:
        path: the file
        start: first byte of its first page
        first: number of the sample

    Yields:
        Number of the first sample, and samples, float32 ``[channels, n]``. Nothing from the second stream of a chain
        on, since positions begin anew, or if the headers are damaged.
    """
    stream: _DamagedStream | None = None
    with path.open("rb") as file:
        for page in iter_intact_pages(file, start):
            if stream is None:
                head = parse_stream_header(page.packets[0] if page.packets else b"") if page.first else None
                if head is None:
                    continue
                stream = _DamagedStream(page.serial, head, first)
            elif page.first and stream.began:
                return
            if page.serial != stream.serial:
                continue
            for at, wave in stream.push(page):
                if at + wave.shape[1] > first:
                    yield max(at, first), wave[:, max(0, first - at) :]
                    first = at + wave.shape[1]


def has_end(path: Path, start: int) -> bool:
    """Determine whether the end of a file is there.

    Args:
        path: the file
        start: first byte of its first page

    Returns:
        Whether one of its intact pages is the last of a stream.
    """
    with path.open("rb") as file:
        return any(page.last for page in iter_intact_pages(file, start))


class _DamagedStream:
    """One logical stream with pages that are missing.

    Args:
        serial: its serial number
        head: its properties
        first: number of the first sample that is wanted
    """

    def __init__(self, serial: int, head: StreamHeader, first: int) -> None:
        self.serial = serial
        self.began = False
        """Whether there has been audio."""
        self._head, self._wanted = head, first - _EARLIER_S * head.sample_rate
        self._headers: list[bytes] = []
        self._part: bytes | None = b""
        """Beginning of a packet; None behind a gap, where that is missing."""
        self._sequence: int | None = None
        self._offset = 0
        self._shape = FormatGuard()
        self._restart()

    def _restart(self) -> None:
        """Begin anew, at a place that the end of the next page gives."""
        self._decoder: PacketDecoder | None = None
        self._blocks: list[FloatArray] = []
        self._place: int | None = None
        """Granule position before the samples in ``_blocks``."""
        self._preroll = _PREROLL.get(self._head.subtype, 0) if self.began else 0

    def push(self, page: Page) -> list[tuple[int, FloatArray]]:
        """Take the next intact page, and return the samples that have a place."""
        if self._sequence is not None and page.sequence != self._sequence + 1:
            self._part = None
            self._restart()
        self._sequence = page.sequence
        for packet in self._whole_packets(page):
            if len(self._headers) < self._head.headers:
                self._headers.append(packet)
            elif not self._head.subtype.startswith("PCM_") or packet[:1] == b"\xff":
                self._decode(packet, page)
        return self._placed(page)

    def _whole_packets(self, page: Page) -> Iterator[bytes]:
        """Yield the packets that end on a page and whose beginning is there."""
        for number, part in enumerate(page.packets):
            whole = part if number or not page.continued else None if self._part is None else self._part + part
            if number == len(page.packets) - 1 and not page.complete:
                self._part = whole
            else:
                self._part = b""
                if whole:
                    yield whole

    def _decode(self, packet: bytes, page: Page) -> None:
        if page.granule is not None and page.granule - self._head.delay < self._wanted:
            self.began = True
            self._restart()
            return
        if self._decoder is None:
            self._decoder = open_packet_decoder(self._head, self._headers)
        try:
            self._blocks += [self._shape.to_samples(frame) for frame in self._decoder.decode(packet)]
        except AudioDamage:
            self._restart()

    def _placed(self, page: Page) -> list[tuple[int, FloatArray]]:
        if page.granule is None or not self._blocks:
            return []
        wave = np.concatenate(self._blocks, axis=1)
        if not self.began:
            self._offset = max(0, page.granule - wave.shape[1])
            self._place = self._place if not page.last else 0
        self.began = True
        place = self._place if page.last else page.granule - wave.shape[1]  # the last page ends before its last packet
        self._blocks, self._place = [], page.granule
        if place is None:
            return []
        dropped = min(self._preroll, wave.shape[1])
        self._preroll -= dropped
        number = place + dropped - self._offset - self._head.delay
        heard = wave[:, dropped : max(dropped, page.granule - place)]
        return [(max(0, number), heard[:, max(0, -number) :])]
