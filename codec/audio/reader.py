"""Read audio files of any format.

The format of a file is detected from its bytes; the table in docs/formats.md gives the back end for each format.
Decoders accept many damaged files without an error, so the number of samples is compared here with the one in the
header, and every sample is checked for being finite. Waveforms are float32 ``[channels, samples]``, full scale 1.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from codec.audio.backend import AudioDamage, Decoder, UnsupportedAudio
from codec.audio.errors import AudioError
from codec.audio.file_format import BackEnd, FileFormat, NotAudio
from codec.audio.format_detection import detect_format
from codec.audio.pictures import Picture, read_pictures
from codec.audio.tags import read_tags
from codec.audio.waveform import FloatArray
from codec.errors import UserError

_BLOCK_FRAMES = 65536
_EMPTY_FILE_BYTES = 4096
"""A file with zero samples in its header that is smaller than this holds nothing but headers."""


@dataclass(frozen=True)
class AudioInfo:
    """Properties of an audio file by its header."""

    path: Path
    """The file."""
    format: str
    """Container, by the name that libsndfile uses if it has one (``WAV``), else ``MP4`` and the like."""
    subtype: str
    """Coding of the samples, by the name that libsndfile uses if it has one (``PCM_16``), else ``AAC`` and the like."""
    sample_rate: int
    """Sample rate of the decoded samples, in Hz."""
    channels: int
    """Number of channels."""
    frames: int | None
    """Samples per channel by the header; None if it has no number or only an estimate."""
    tags: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Title, artist and other tags, by the names in :data:`codec.audio.TAGS`."""
    decoded: bool = False
    """Whether a tag marks the file as decoded by this software."""
    other_streams: int = 0
    """Number of further audio streams, which are not read. The default stream is read, else the first."""
    pictures: int = 0
    """Number of pictures among the tags."""

    @property
    def seconds(self) -> float | None:
        """Duration by the header in seconds; None if it is unknown."""
        return None if self.frames is None else self.frames / self.sample_rate

    def read_pictures(self) -> list[Picture]:
        """Read the pictures of the file.

        Returns:
            The pictures, without those in APEv2 tags.
        """
        return read_pictures(self.path) if self.pictures else []

    def salvaged_blocks(
        self, lost: list[tuple[int, int]] | None = None, block_frames: int = _BLOCK_FRAMES
    ) -> Iterator[FloatArray]:
        """Read what a truncated or damaged file still has, which is no error unless that is nothing.

        What follows damage is read in FLAC and Ogg files, whose frames and pages are numbered, and in MPEG audio, where
        the number of missing frames follows from the bytes of the gap; other files are read up to the damage.

        Args:
            lost: receives the first sample and the one after the last of each lost span. Silence stands for it, except
                for one at the end.
            block_frames: samples per channel in a block

        Yields:
            float32 ``[channels, 1 <= n <= block_frames]``.

        Raises:
            AudioError: as :func:`blocks`, for anything else.
        """
        at, lost = 0, [] if lost is None else lost
        try:
            for block in self.blocks(block_frames):
                at += block.shape[1]
                yield block
            return
        except AudioError as error:
            if not error.is_damage:
                raise
            damage = error
        resumed, end = False, self.frames
        with self.path.open("rb") as file:
            file_format = detect_format(file, self.path.stat().st_size)
        assert isinstance(file_format, FileFormat), "it was opened"
        for first, block in self._behind_damage(file_format, at):
            resumed = True
            if first > at:
                lost.append((at, first))
            for start in range(at, first, block_frames):
                yield np.zeros((self.channels, min(block_frames, first - start)), np.float32)
            at = first + block.shape[1]
            yield from _reblocked([block], block_frames)
        if not at:
            raise damage
        if file_format.back_end == "MPEG":
            from codec.audio.mpeg_salvage import stated_samples

            end = stated_samples(self.path, file_format.start)
            resumed = resumed and (end is not None or bool(lost))  # if nothing else is missing, the end is
        elif file_format.back_end == "Ogg":
            from codec.audio.ogg_salvage import has_end

            resumed = resumed and has_end(self.path, file_format.start)
        if not (resumed and (end is None or at >= end)):  # without a stated length, the last frame is taken for the end
            lost.append((at, max(at, end or 0)))

    def _behind_damage(self, file_format: FileFormat, first: int) -> Iterator[tuple[int, FloatArray]]:
        """Yield what is intact from a sample on, with the number of its first sample."""
        start, end = file_format.start, file_format.end
        if file_format.back_end == "FLAC":
            from codec.audio import flac_salvage

            for number, block in flac_salvage.intact_frames(self.path, start, end, first):
                if self.frames is None or number + block.shape[1] <= self.frames:
                    yield number, block
        elif file_format.back_end == "MPEG":
            from codec.audio import mpeg_salvage

            yield from mpeg_salvage.intact_frames(self.path, start, end, first, self.frames)
        elif file_format.back_end == "Ogg":
            from codec.audio import ogg_salvage

            yield from ogg_salvage.intact_pages(self.path, start, first)

    def blocks(self, block_frames: int = _BLOCK_FRAMES) -> Iterable[FloatArray]:
        """Return the samples of the file in blocks, none for an empty file whose header is correct.

        Args:
            block_frames: samples per channel in a block; see :func:`blocks`

        Returns:
            An iterable of float32 ``[channels, 1 <= n <= block_frames]``.

        Raises:
            AudioError: see :func:`blocks`; raised during iteration.
        """
        if self.frames == 0 and self.path.stat().st_size < _EMPTY_FILE_BYTES:
            return ()
        return blocks(self.path, block_frames)


@dataclass(frozen=True)
class Audio:
    """A whole audio file, decoded."""

    samples: FloatArray
    """float32 ``[channels, samples]``, full scale 1."""
    sample_rate: int
    """Sample rate in Hz."""


def info(path: Path) -> AudioInfo:
    """Read the header and the tags of an audio file.

    Args:
        path: the file

    Returns:
        Its properties. Only the first frame is decoded, and only if the header does not give all of them.

    Raises:
        AudioError: the file cannot be opened or is not audio.
    """
    path = Path(path)
    with _opened(path) as (decoder, file_format):
        found = decoder.stream_info
        tags = read_tags(path, file_format)
        return AudioInfo(
            path,
            found.format,
            found.subtype,
            found.sample_rate,
            found.channels,
            found.frames,
            tags.texts,
            tags.decoded,
            found.other_streams,
            tags.pictures,
        )


def blocks(path: Path, block_frames: int = _BLOCK_FRAMES) -> Iterator[FloatArray]:
    """Read an audio file block by block, in constant memory.

    The blocks join to the same samples bit for bit, whatever their length. The length in the header is not trusted:
    more samples are read, fewer are an error.

    Args:
        path: the file
        block_frames: samples per channel in a block; the last one may be shorter

    Yields:
        float32 ``[channels, 1 <= n <= block_frames]``, full scale 1.

    Raises:
        AudioError: the file cannot be opened, is not audio, holds no samples, is truncated or damaged, or holds NaN or
            infinity. Blocks that were already yielded are correct, and hold all samples before the damage.
    """
    path = Path(path)
    with _opened(path) as (decoder, file_format):
        yield from _checked(path, decoder, file_format, block_frames)


def read(source: Path | str | bytes | bytearray | memoryview | BinaryIO) -> Audio:
    """Read a whole audio file.

    Args:
        source: path of the file, its bytes, or an open file, which is read to its end and left open

    Returns:
        Its samples and its sample rate.

    Raises:
        AudioError: see :func:`blocks`.
        UserError: not a path, bytes, or a file that is open for reading bytes.

    >>> import tempfile
    >>> from codec.audio import write
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder, "a.flac"), np.array([[0.5, -0.25, 0.0]], np.float32), 16000)
    ...     read(Path(folder, "a.flac"))
    Audio(samples=array([[ 0.5 , -0.25,  0.  ]], dtype=float32), sample_rate=16000)
    """
    if not isinstance(source, (str, os.PathLike)):
        return _read_from_memory(source)
    path = Path(source)
    with _opened(path) as (decoder, file_format):
        waveform = np.concatenate(list(_checked(path, decoder, file_format, _BLOCK_FRAMES)), axis=1)
        return Audio(waveform, decoder.stream_info.sample_rate)


def _read_from_memory(source: bytes | bytearray | memoryview | BinaryIO) -> Audio:
    """Read audio by way of a temporary file: some back ends and parsers read from files only."""
    if not isinstance(source, (bytes, bytearray, memoryview)) and not hasattr(source, "read"):
        raise UserError(f"a path, bytes, or a file that is open for reading bytes, not {type(source).__name__}")
    content = source if isinstance(source, (bytes, bytearray, memoryview)) else source.read()
    if isinstance(content, str):
        raise UserError("this file is open for reading text; open it with mode 'rb'")
    with tempfile.TemporaryDirectory(prefix="codec-audio-") as folder:
        path = Path(folder, "audio in memory")
        path.write_bytes(content)
        try:
            return read(path)
        except AudioError as error:
            raise AudioError(Path(path.name), error.kind, error.reason) from None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Decoder, FileFormat]]:
    """Open a file with the back end for its format; any failure meanwhile becomes an AudioError."""
    size = path.stat().st_size if path.is_file() else None
    if size is None:
        raise AudioError(path, "unreadable", _why_no_file(path))
    if not size:
        raise AudioError(path, "empty", "the file is empty (0 bytes)")
    if not os.access(path, os.R_OK):
        raise AudioError(path, "unreadable", "no permission to read the file")
    decoder: Decoder | None = None
    try:
        with path.open("rb") as file:
            file_format = detect_format(file, size)
        if isinstance(file_format, NotAudio):
            raise AudioError(path, "unreadable", file_format.reason)
        decoder = _open_decoder(path, file_format)
        yield decoder, file_format
    except UnsupportedAudio as error:
        raise AudioError(path, "unreadable", str(error)) from error
    except AudioDamage as error:
        raise AudioError(path, "cut off or damaged", str(error)) from error
    except OSError as error:
        raise AudioError(path, "unreadable", f"cannot be read ({error.strerror or error})") from error
    finally:
        if decoder is not None:
            decoder.close()


def _why_no_file(path: Path) -> str:
    if path.is_dir():
        return "this is a folder"
    if path.exists():
        return "a pipe or device, not a file; pass - and send it to standard input"
    return "a link to a file that does not exist" if path.is_symlink() else "no such file"


def _open_decoder(path: Path, file_format: FileFormat) -> Decoder:
    """Open ``path`` with its back end; FFmpeg is tried with files that libsndfile refuses."""
    try:
        return _open_with(path, file_format, file_format.back_end)
    except UnsupportedAudio as error:
        if file_format.back_end != "FFmpeg" and file_format.demuxer:
            with contextlib.suppress(UnsupportedAudio):
                return _open_with(path, file_format, "FFmpeg")
        raise UnsupportedAudio(f"{file_format.container} that cannot be read ({error})") from error


def _open_with(path: Path, file_format: FileFormat, back_end: BackEnd) -> Decoder:
    """Open ``path`` with one back end. Each is imported when the first of its files is opened."""
    if back_end == "libsndfile":
        from codec.audio.libsndfile_decoder import LibsndfileDecoder

        return LibsndfileDecoder(path, file_format)
    if back_end == "FLAC":
        from codec.audio.flac_decoder import FlacDecoder

        return FlacDecoder(path, file_format)
    if back_end == "Ogg":
        from codec.audio.ogg_decoder import OggDecoder

        return OggDecoder(path, file_format)
    if back_end == "MPEG":
        from codec.audio.mpeg_decoder import MpegDecoder

        return MpegDecoder(path, file_format)
    from codec.audio.ffmpeg_decoder import FFmpegDecoder

    return FFmpegDecoder(path, file_format)


def _checked(path: Path, decoder: Decoder, file_format: FileFormat, block_frames: int) -> Iterator[FloatArray]:
    """Yield the blocks of an open file; see :func:`blocks`."""
    rate, done = decoder.stream_info.sample_rate, 0
    for block in _reblocked(decoder.blocks(), block_frames):
        if not np.isfinite(block).all():
            first = done + int(np.argmin(np.isfinite(block).all(axis=0)))
            raise AudioError(path, "NaN or infinity", f"NaN or infinity at {first / rate:.2f} s (sample {first})")
        done += block.shape[1]
        yield block
    if file_format.fault:
        raise AudioDamage(file_format.fault)
    if not done:
        raise AudioError(path, "empty", "holds no samples")


def _reblocked(blocks: Iterable[FloatArray], block_frames: int) -> Iterator[FloatArray]:
    """Yield the same samples in blocks of ``block_frames``; the last one may be shorter."""
    parts: list[FloatArray] = []
    filled = 0
    damage: AudioDamage | None = None
    source = iter(blocks)
    while True:
        try:
            block = next(source)
        except StopIteration:
            break
        except AudioDamage as error:  # what was read before it is intact
            damage = error
            break
        while block.shape[1]:
            parts.append(block[:, : block_frames - filled])
            block = block[:, block_frames - filled :]
            filled += parts[-1].shape[1]
            if filled == block_frames:
                yield _joined(parts)
                parts, filled = [], 0
    if filled:
        yield _joined(parts)
    if damage:
        raise damage


def _joined(parts: list[FloatArray]) -> FloatArray:
    return np.ascontiguousarray(parts[0]) if len(parts) == 1 else np.concatenate(parts, 1)
