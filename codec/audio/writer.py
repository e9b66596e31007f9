"""Writing of audio files by libsndfile. A file appears under its name only when it is complete."""

import contextlib
import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile

from codec.audio.errors import AudioError
from codec.audio.libsndfile_decoder import libsndfile_reason
from codec.audio.pictures import Picture, fits_flac, insert_flac_pictures
from codec.audio.tags import DECODER, TAGS, split_values
from codec.audio.vorbis_comments import is_comment_name, join_with_fillers, split_comments
from codec.audio.waveform import FloatArray, count_over_full_scale
from codec.runtime.atomic_files import temporary_path

_INTEGER_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
_FLOAT_BITS = {"FLOAT": 32, "DOUBLE": 64}
_FORMATS = {
    ".wave": "WAV", ".bwf": "WAV", ".oga": "OGG", ".opus": "OGG", ".aif": "AIFF", ".aifc": "AIFF",
    ".snd": "AU", ".sph": "NIST",
}  # fmt: skip
_WRITE_BLOCK = 65536
_WAV_BYTES = 0xFFFFFFFF - 4096
"""Largest size of samples in WAV, whose sizes have 32 bits; larger files are written as RF64."""
_FLAC_CHANNELS = 8
_WITH_COMMENTS = ("FLAC", "OGG")
"""Formats in which a tag can have several values; in others they are joined by semicolons."""
_VORBIS_ORDER = {
    3: (0, 2, 1),
    5: (0, 2, 1, 3, 4),
    6: (0, 2, 1, 4, 5, 3),
    7: (0, 2, 1, 5, 6, 4, 3),
    8: (0, 2, 1, 6, 7, 4, 5, 3),
}
"""Indices of the channels of WAV in the order of Vorbis and Opus (Vorbis I specification, section 4.3.9)."""


@functools.cache
def _available_formats() -> frozenset[str]:
    """Return libsndfile's names of the formats that it writes."""
    return frozenset(soundfile.available_formats())


class _Sink:
    """A file for libsndfile to write to, which remembers errors that libsndfile does not report (a full disk)."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        try:
            while rest:  # when the disk is full, a part is written, and only the next attempt fails
                rest = rest[self.file.write(rest) :]
        except OSError as error:
            self.error = error
        return len(data) - len(rest)

    def read(self, count: int) -> bytes:
        return self.file.read(count)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()


class AudioWriter:
    """A writer of an audio file, block by block: a context manager.

    The file appears under its name when everything is written; after an exception nothing is left. Integer subtypes
    hold ``round(x * 2^(bits - 1))``, the inverse of reading.

    Args:
        path: the file, which is replaced if it exists. Its suffix determines the format.
        sample_rate: sample rate in Hz
        channels: number of channels
        subtype: coding of the samples, by libsndfile's name. Formats without it (OGG, MP3) use their default.
        samples: expected samples per channel; a WAV file that is too small for them becomes RF64
        tags: tags to write; formats other than FLAC and Ogg hold those in :data:`codec.audio.TAGS` at most
        decoded: whether to mark the file as decoded by this software, see :attr:`codec.audio.AudioInfo.decoded`
        pictures: pictures to write; formats other than FLAC hold none

    Raises:
        AudioError: the suffix is unknown, the format cannot hold this sample rate or number of channels, or the file
            cannot be written; also from :meth:`write` and on leaving the context.
    """

    def __init__(
        self,
        path: Path,
        sample_rate: int,
        channels: int,
        subtype: str = "PCM_16",
        samples: int = 0,
        tags: Mapping[str, str] | None = None,
        decoded: bool = False,
        pictures: Sequence[Picture] = (),
    ) -> None:
        self.path = Path(path)
        self._format, self.subtype = self._choose_format(subtype, channels, samples)
        self.channels = channels
        self.pictures = tuple(picture for picture in pictures if self._format == "FLAC" and fits_flac(picture))
        """The pictures that the file will hold."""
        self._order = _VORBIS_ORDER.get(channels) if self.subtype in ("VORBIS", "OPUS") else None
        self.clipped = 0
        """Samples so far that were clipped, because they exceeded full scale in an integer or lossy subtype."""
        self._part = temporary_path(self.path)
        try:
            self._raw = self._part.open("w+b", buffering=0)
        except OSError as error:
            raise AudioError(self.path, "unwritable", f"cannot write here ({error.strerror})") from error
        self._sink = _Sink(self._raw)
        try:
            self._file = soundfile.SoundFile(self._sink, "w", sample_rate, channels, self.subtype, format=self._format)
        except (soundfile.LibsndfileError, ValueError, TypeError) as error:
            reason = self._sink.error.strerror if self._sink.error else libsndfile_reason(error)
            self._discard()
            what = f"{self._format} {self.subtype} at {sample_rate} Hz with {channels} channels"
            raise AudioError(self.path, "unwritable", f"cannot write {what}: {reason}") from error
        self._split_values = False
        self.tags_left_out = 0
        """Tags that the file does not hold."""
        self._write_tags(tags or {}, decoded)

    def _choose_format(self, subtype: str, channels: int, samples: int) -> tuple[str, str]:
        """Return libsndfile's names of the format for the suffix and of its subtype."""
        suffix = self.path.suffix.lower()
        format = _FORMATS.get(suffix, suffix[1:].upper())
        if format not in _available_formats():
            reason = f"there is no format for the suffix {suffix!r}; use .wav, .flac or .ogg"
            raise AudioError(self.path, "unwritable", reason)
        if not soundfile.check_format(format, subtype):
            subtype = "OPUS" if suffix == ".opus" else soundfile.default_subtype(format)
        bits = (_INTEGER_BITS | _FLOAT_BITS).get(subtype, 0)
        if format == "WAV" and samples * channels * bits // 8 > _WAV_BYTES:
            format = "RF64"
        if format == "FLAC" and channels > _FLAC_CHANNELS:
            reason = f"FLAC holds at most {_FLAC_CHANNELS} channels, not {channels}; use --suffix .wav"
            raise AudioError(self.path, "unwritable", reason)
        return format, subtype

    def _write_tags(self, tags: Mapping[str, str], decoded: bool) -> None:
        texts = {name: text for name in TAGS if (text := tags.get(name))}
        others = [name for name in tags if name not in TAGS and tags[name]]
        if self._format not in _WITH_COMMENTS:
            values = {name: "; ".join(split_values(text)) for name, text in texts.items()}
            self.tags_left_out = len(others)
        else:
            named = [name for name in others if is_comment_name(name)]
            values = {name: split_values(text)[0] for name, text in texts.items()}
            further = [(name, value) for name, text in texts.items() for value in split_values(text)[1:]]
            further += [(name, value) for name in named for value in split_values(tags[name])]
            if further:
                carrier = next(reversed(values), "comment")  # the last: further values come after the first
                values[carrier] = join_with_fillers(values.get(carrier, ""), further)
            self._split_values = bool(further)
            self.tags_left_out = len(others) - len(named)
        for name, text in (values | ({"software": DECODER} if decoded else {})).items():
            with contextlib.suppress(soundfile.LibsndfileError, AssertionError):  # some formats have no tags
                setattr(self._file, name, text)

    def _discard(self) -> None:
        self._raw.close()
        self._part.unlink(missing_ok=True)

    def write(self, waveform: FloatArray) -> None:
        """Append samples.

        Args:
            waveform: float32 ``[channels, n]``, full scale 1

        Raises:
            AudioError: the file cannot be written.
            ValueError: the waveform has another shape.
        """
        if waveform.ndim != 2 or waveform.shape[0] != self.channels:
            raise ValueError(f"expected [{self.channels}, n], got {waveform.shape}")
        if self._order is not None:
            waveform = waveform[list(self._order)]
        # Short pieces: the Vorbis encoder overruns its stack when given a minute at once.
        for start in range(0, waveform.shape[1], _WRITE_BLOCK):
            try:
                self._file.write(self._sample_values(waveform[:, start : start + _WRITE_BLOCK].T))
            except (soundfile.LibsndfileError, AssertionError) as error:
                raise self._failure(libsndfile_reason(error)) from error
            if self._sink.error:
                raise self._failure("")

    def _failure(self, reason: str) -> AudioError:
        if self._sink.error:
            reason = self._sink.error.strerror or str(self._sink.error)
        return AudioError(self.path, "unwritable", f"cannot write the file ({reason})")

    def _sample_values(self, waveform: FloatArray) -> npt.NDArray[np.float32] | npt.NDArray[np.int32]:
        if self.subtype in _FLOAT_BITS:
            return waveform
        self.clipped += count_over_full_scale(waveform)
        bits = _INTEGER_BITS.get(self.subtype)
        if bits is None:
            return waveform.clip(-1, 1)
        # libsndfile would scale by 2^(bits-1) - 1, so that what was read is not what is written.
        top = 2.0 ** (bits - 1)
        whole = np.rint(waveform.astype(np.float64) * top).clip(-top, top - 1).astype(np.int64)
        return (whole << (32 - bits)).astype(np.int32)

    def __enter__(self) -> "AudioWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            try:
                self._file.close()
            except (soundfile.LibsndfileError, AssertionError) as failure:
                if kind is None:
                    raise self._failure(libsndfile_reason(failure)) from failure
            if kind is None:
                if self._sink.error:
                    raise self._failure("")
                if self._format == "FLAC" and self._raw.seek(0, os.SEEK_END) == 0:  # libsndfile waits for samples
                    reason = "FLAC cannot hold a file without samples; use --suffix .wav"
                    raise AudioError(self.path, "unwritable", reason)
                if self._split_values:
                    split_comments(self._raw)
                self._raw.close()
                try:
                    if self.pictures:
                        with self._part.open("r+b") as file:
                            insert_flac_pictures(file, self.pictures)
                    os.replace(self._part, self.path)
                except OSError as failure:
                    raise self._failure(failure.strerror or str(failure)) from failure
        finally:
            with contextlib.suppress(OSError):
                self._discard()


def write(path: Path, waveform: FloatArray, sample_rate: int, subtype: str = "PCM_16") -> None:
    """Write a waveform to a file.

    Args:
        path: the file, which is replaced if it exists. Its suffix determines the format.
        waveform: float32 ``[channels, samples]``, full scale 1
        sample_rate: sample rate in Hz
        subtype: coding of the samples, by libsndfile's name; see :class:`AudioWriter`

    Raises:
        AudioError: see :class:`AudioWriter`.
    """
    with AudioWriter(path, sample_rate, waveform.shape[0], subtype) as writer:
        writer.write(waveform)
