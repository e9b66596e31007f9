"""The report on one file, and the meter that collects its figures."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codec.audio import FloatArray, count_over_full_scale
from codec.audio.bandwidth import AboveBandMeter

Progress = Callable[[float], None]
"""Called after each block with the block's duration in seconds."""


@dataclass(frozen=True)
class FileReport:
    """One file encoded or decoded. Rate and channels are those of the audio, bytes those of the coded file."""

    source: Path
    target: Path
    seconds: float
    sample_rate: int
    channels: int
    codebooks: int
    bytes_total: int
    """Size of the whole coded file; equal to ``bytes_payload`` if only a part of it was decoded."""
    bytes_payload: int
    """Size of the codes alone, without header, packet lengths and checksums, in the packets that were read."""
    bytes_seconds: float
    """Duration of the audio in these bytes: more than ``seconds`` if a part was decoded, since packets are read
    whole."""
    elapsed_seconds: float
    bytes_metadata: int = 0
    """Size of tags and pictures in the whole coded file."""
    clipped: int = 0
    """Decoded samples beyond full scale, which the format of the output cannot hold."""
    over_full_scale: int = 0
    """Samples of the source beyond full scale, which models distort."""
    lost: tuple[tuple[float, float], ...] = ()
    """Start and end in seconds of each damaged part, which is concealed, or missing at the end."""
    cut_off: float | None = None
    """Time in seconds at which a truncated source ends; None if it is complete."""
    tags_damaged: bool = False
    """Whether tags or pictures of the coded file are damaged, so that some may be missing."""
    fault: str | None = None
    """Why a pipe delivered less than it announced."""
    above_band: float = 0.0
    """Share of the source's energy above the model's Nyquist frequency, which is not coded; see
    :mod:`codec.audio.bandwidth`."""
    pictures: int = 0
    """Pictures in the source."""
    pictures_left_out: int = 0
    """Pictures of the source that the target does not hold: too large, not wanted, or in a format without pictures."""
    tags_left_out: int = 0
    """Tags of the source that are too long for a ``.nac`` file, or that the format of the output cannot hold."""
    tokens: int = 0
    """Codes in a token shard, of all channels; 0 for ``.nac`` files."""

    @property
    def kbps(self) -> float:
        """Bit rate of the coded file without tags and pictures in kbit/s, all channels together."""
        return kbps(self.bytes_total - self.bytes_metadata, self.bytes_seconds)

    @property
    def payload_kbps(self) -> float:
        """Bit rate of the codes alone in kbit/s, all channels together."""
        return kbps(self.bytes_payload, self.bytes_seconds)

    @property
    def bytes_overhead(self) -> int:
        """Size of headers, packet lengths, checksums and index."""
        return self.bytes_total - self.bytes_metadata - self.bytes_payload

    @property
    def times_real_time(self) -> float:
        """Duration of the audio divided by the time that coding took."""
        return self.seconds / self.elapsed_seconds


def kbps(size: int, seconds: float) -> float:
    """Convert a size to a bit rate.

    Args:
        size: in bytes
        seconds: duration of the audio

    Returns:
        Bit rate in kbit/s; 0 if there is no audio.

    >>> kbps(375, 1.0)
    3.0
    """
    return 8 * size / seconds / 1000 if seconds else 0.0


class FileMeter:
    """Measures the audio of one file on its way into the encoder or out of the decoder, and builds the report.

    The clock starts when the meter is made.

    Args:
        source: name of the source in the report
        target: name of the target in the report
        sample_rate: of the audio, in Hz
        channels: of the audio
        model_rate: sample rate of the model that encodes, in Hz; then samples beyond full scale and energy above the
            model's band are measured. None for decoding.
        progress: called after each block has been used
    """

    def __init__(
        self,
        source: Path,
        target: Path,
        sample_rate: int,
        channels: int,
        *,
        model_rate: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._started = time.perf_counter()
        self._source, self._target = source, target
        self.sample_rate, self.channels = sample_rate, channels
        self._band = AboveBandMeter(sample_rate, model_rate) if model_rate else None
        self._progress = progress
        self._over_full_scale = 0
        self.samples = 0
        """Samples per channel that passed so far."""
        self.exhausted = False
        """Whether the last block has passed."""

    def measure(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """Pass blocks on and measure them.

        Args:
            blocks: float32 ``[channels, n]``

        Yields:
            The same blocks.
        """
        for block in blocks:
            self.samples += block.shape[1]
            if self._band:
                self._over_full_scale += count_over_full_scale(block)
                self._band.push(block)
            yield block
            if self._progress:
                self._progress(block.shape[1] / self.sample_rate)
        self.exhausted = True

    def report(
        self,
        *,
        codebooks: int,
        bytes_total: int,
        bytes_payload: int,
        bytes_seconds: float | None = None,
        **further: Any,
    ) -> FileReport:
        """Build the report, once all audio has passed.

        Args:
            codebooks: number of codebooks in the coded file
            bytes_total: size of the coded file
            bytes_payload: size of its codes
            bytes_seconds: duration of the audio in these bytes (default: of the audio that passed)
            further: other fields of :class:`FileReport`

        Returns:
            The report.
        """
        seconds = self.samples / self.sample_rate
        return FileReport(
            source=self._source,
            target=self._target,
            seconds=seconds,
            sample_rate=self.sample_rate,
            channels=self.channels,
            codebooks=codebooks,
            bytes_total=bytes_total,
            bytes_payload=bytes_payload,
            bytes_seconds=seconds if bytes_seconds is None else bytes_seconds,
            elapsed_seconds=time.perf_counter() - self._started,
            over_full_scale=self._over_full_scale,
            above_band=self._band.share if self._band else 0.0,
            **further,
        )
