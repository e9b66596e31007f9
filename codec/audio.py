"""Sound files: read, write, resample. The only place that touches them.

libsndfile lets much damage through without an error: short reads, headers that announce more than the file
holds, NaN. Everything read here is compared with what the file announces and checked for being finite; damage
raises :class:`AudioError`. Waveforms are float32 ``[channels, samples]``, full scale is 1.
"""

import contextlib
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from codec import ogg
from codec.errors import UserError
from codec.writing import part_of

FloatArray = npt.NDArray[np.float32]

AUDIO_SUFFIXES = frozenset(
    ".wav .wave .bwf .rf64 .w64 .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .snd .caf .voc .sph .nist".split()
)
"""Lower-case suffixes of files that can be read."""

_INTEGER_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
_FLOAT_BITS = {"FLOAT": 32, "DOUBLE": 64}
_FORMATS = {
    ".wave": "WAV", ".bwf": "WAV", ".oga": "OGG", ".opus": "OGG", ".aif": "AIFF", ".aifc": "AIFF",
    ".snd": "AU", ".sph": "NIST",
}  # fmt: skip
_WRITE_BLOCK = 65536
_WAV_BYTES = 0xFFFFFFFF - 4096
"""More samples than that, and RF64 takes the place of WAV, whose sizes are numbers of 32 bits."""
_FLAC_CHANNELS = 8
_SLACK_BYTES = 64
_SHORTFALL = re.compile(r"^\s*(?:data|SSND|riff|Riff size|Data Size)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
_STREAM_SIZES = {0, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFF000, 0xFFFFF000}
"""Sizes that writers to a pipe put in a header they cannot come back to."""


TAGS = ("title", "artist", "album", "tracknumber", "genre", "date", "comment", "copyright", "license")
"""What is read of a file's tags, and written."""

DECODER = "Lathe decoder"
"""What decoded files name as their software: these may be replaced, and no other file is taken for one."""

Kind = Literal["unreadable", "empty", "cut off or damaged", "NaN or infinity", "unwritable"]


class AudioError(UserError):
    """A sound file that cannot be read or written: one line with the path and the reason.

    ``kind`` is what such files are counted under.
    """

    def __init__(self, path: Path, kind: Kind, reason: str) -> None:
        super().__init__(path, kind, reason)
        self.path, self.kind, self.reason = path, kind, reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says. ``frames`` (samples per channel) is a claim, not a count."""

    path: Path
    format: str
    subtype: str
    sample_rate: int
    channels: int
    frames: int
    tags: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Title, artist and the like, by the names in :data:`TAGS`."""
    decoded: bool = False
    """Whether the file says that it was decoded from codes."""


@dataclass(frozen=True)
class Audio:
    """A whole file: ``samples`` is float32 ``[channels, samples]``."""

    samples: FloatArray
    sample_rate: int


def _open(path: Path) -> soundfile.SoundFile:
    if not path.is_file():
        raise AudioError(path, "unreadable", "a folder" if path.is_dir() else "no such file")
    if path.stat().st_size == 0:
        raise AudioError(path, "empty", "the file is empty (0 bytes)")
    if not os.access(path, os.R_OK):
        raise AudioError(path, "unreadable", "no permission to read the file")
    try:
        file = soundfile.SoundFile(os.fsencode(path))  # names need not be valid UTF-8
    except (soundfile.LibsndfileError, OSError, ValueError, TypeError) as error:
        raise AudioError(path, "unreadable", f"not a readable sound file ({_plain(error)})") from error
    if file.frames >= 2**62:
        file.close()
        raise AudioError(path, "unreadable", "the header states no length (a streamed file); convert it first")
    return file


def _plain(error: Exception) -> str:
    """The reason alone: libsndfile repeats the path, and knows some of its errors by number only."""
    if isinstance(error, soundfile.LibsndfileError):
        text = error.error_string.strip().rstrip(".")
        return text if text and "No Error" not in text else f"libsndfile error {error.code}"
    return " ".join(str(error).split()) or type(error).__name__


def info(path: Path) -> AudioInfo:
    """What the header of ``path`` says. Raises :class:`AudioError` if it cannot be opened."""
    path = Path(path)
    with _open(path) as file:
        found = file.copy_metadata()
        tags = {name: found[name] for name in TAGS if found.get(name)}
        decoded = found.get("software", "").startswith(DECODER)
        return AudioInfo(path, file.format, file.subtype, file.samplerate, file.channels, file.frames, tags, decoded)


def _announces_length(path: Path, file: soundfile.SoundFile) -> bool:
    """Whether the header counts the frames. An MP3 without a Xing or VBRI header does not: its length is an
    estimate.
    """
    if file.format not in ("MP3", "MPEG"):
        return True
    with path.open("rb") as raw:
        head = raw.read(65536)
    return any(mark in head for mark in (b"Xing", b"Info", b"VBRI"))


def blocks(path: Path, block_frames: int = 65536) -> Iterator[FloatArray]:
    """The file's samples in blocks, float32 ``[channels, 1 <= n <= block_frames]``, in constant memory.

    Raises:
        AudioError: not readable, no samples, cut off, damaged, or holding NaN or infinity. Blocks that were
            already yielded are good.
    """
    path = Path(path)
    with _open(path) as file:
        announced = file.frames
        if announced == 0:
            raise AudioError(path, "empty", "holds no samples")
        if file.format == "OGG" and (wrong := ogg.damage(path)):
            raise AudioError(path, "cut off or damaged", wrong)
        done = 0
        while done < announced:
            try:
                block = file.read(min(block_frames, announced - done), dtype="float32", always_2d=True)
            except (soundfile.LibsndfileError, OSError, ValueError, MemoryError) as error:
                where = f"after {done / file.samplerate:.2f} s ({_plain(error)})"
                raise AudioError(path, "cut off or damaged", f"cut off or damaged {where}") from error
            if len(block) == 0:
                break
            if not np.isfinite(block).all():
                first = done + int(np.argmin(np.isfinite(block).all(axis=1)))
                where = f"at {first / file.samplerate:.2f} s (sample {first})"
                raise AudioError(path, "NaN or infinity", f"NaN or infinity {where}")
            done += len(block)
            yield np.ascontiguousarray(block.T)
        if done < announced and (done == 0 or _announces_length(path, file)):
            shortfall = f"only {done} of {announced} samples could be read"
            raise AudioError(path, "cut off or damaged", shortfall)
        for stated, present in _SHORTFALL.findall(file.extra_info):
            missing = int(stated) - int(present)
            if missing > _SLACK_BYTES and int(stated) not in _STREAM_SIZES:
                shortfall = f"cut off: {present} of the announced {stated} bytes are there"
                raise AudioError(path, "cut off or damaged", shortfall)


def read(path: Path) -> Audio:
    """The whole file. Raises :class:`AudioError` as :func:`blocks` does."""
    sample_rate = info(path).sample_rate
    return Audio(np.concatenate(list(blocks(path)), axis=1), sample_rate)


class _Sink:
    """A file for libsndfile to write to, which remembers errors (a full disk) that libsndfile does not
    report.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        try:
            while rest:  # at the end of a disk a part is written, and only the next attempt says why
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


class Writer:
    """Write a sound file block by block: a context manager with :meth:`write`.

    The file appears under its name when everything is written; after an exception nothing is left. The format
    follows from the suffix. Formats without the subtype asked for (OGG, MP3) take their own default. Integer
    subtypes hold ``round(x * 2^(bits - 1))``, the inverse of reading; samples beyond full scale are clipped, and
    counted in ``clipped``. ``samples`` (per channel) are expected; a WAV file that they would fill becomes RF64.
    Of the ``tags``, those in :data:`TAGS` are written, where the format has them, and with ``decoded`` what
    :class:`AudioInfo` knows such files by.

    Raises:
        AudioError: unknown suffix, a rate or channel count that the format cannot hold, full disk, no
        permission.
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
    ) -> None:
        self.path = Path(path)
        suffix = self.path.suffix.lower()
        self._format = _FORMATS.get(suffix, suffix[1:].upper())
        if self._format not in soundfile.available_formats():
            raise AudioError(self.path, "unwritable", f"no format for the suffix {suffix!r}; use .wav, .flac or .ogg")
        if not soundfile.check_format(self._format, subtype):
            subtype = "OPUS" if suffix == ".opus" else soundfile.default_subtype(self._format)
        bits = (_INTEGER_BITS | _FLOAT_BITS).get(subtype, 0)
        if self._format == "WAV" and samples * channels * bits // 8 > _WAV_BYTES:
            self._format = "RF64"
        if self._format == "FLAC" and channels > _FLAC_CHANNELS:
            most = f"FLAC holds at most {_FLAC_CHANNELS} channels, not {channels}; use --suffix .wav"
            raise AudioError(self.path, "unwritable", most)
        self.subtype = subtype
        self.channels = channels
        self.clipped = 0
        self._part = part_of(self.path)
        try:
            self._raw = self._part.open("w+b", buffering=0)
        except OSError as error:
            raise AudioError(self.path, "unwritable", f"cannot write here ({error.strerror})") from error
        self._sink = _Sink(self._raw)
        try:
            self._file = soundfile.SoundFile(self._sink, "w", sample_rate, channels, subtype, format=self._format)
        except (soundfile.LibsndfileError, ValueError, TypeError) as error:
            reason = self._sink.error.strerror if self._sink.error else _plain(error)
            self._discard()
            what = f"{self._format} {subtype} at {sample_rate} Hz with {channels} channels"
            raise AudioError(self.path, "unwritable", f"cannot write {what}: {reason}") from error
        written = {name: (tags or {}).get(name) for name in TAGS} | {"software": DECODER if decoded else None}
        for name, text in written.items():
            if text:
                with contextlib.suppress(soundfile.LibsndfileError, AssertionError):  # some formats have no tags
                    setattr(self._file, name, text)

    def _discard(self) -> None:
        self._raw.close()
        self._part.unlink(missing_ok=True)

    def write(self, wave: FloatArray) -> None:
        """Append float32 ``[channels, n]``."""
        if wave.ndim != 2 or wave.shape[0] != self.channels:
            raise ValueError(f"expected [{self.channels}, n], got {wave.shape}")
        # Short pieces: the Vorbis encoder overruns its stack when given a minute at once.
        for start in range(0, wave.shape[1], _WRITE_BLOCK):
            try:
                self._file.write(self._sample_values(wave[:, start : start + _WRITE_BLOCK].T))
            except (soundfile.LibsndfileError, AssertionError) as error:
                raise self._failure(_plain(error)) from error
            if self._sink.error:
                raise self._failure("")

    def _failure(self, reason: str) -> AudioError:
        if self._sink.error:
            reason = self._sink.error.strerror or str(self._sink.error)
        return AudioError(self.path, "unwritable", f"cannot write the file ({reason})")

    def _sample_values(self, wave: FloatArray) -> npt.NDArray[np.float32] | npt.NDArray[np.int32]:
        if self.subtype in _FLOAT_BITS:
            return wave
        self.clipped += beyond_full_scale(wave)
        bits = _INTEGER_BITS.get(self.subtype)
        if bits is None:
            return wave.clip(-1, 1)
        # libsndfile would scale by 2^(bits-1) - 1, so that what was read is not what is written.
        top = 2.0 ** (bits - 1)
        whole = np.rint(wave.astype(np.float64) * top).clip(-top, top - 1).astype(np.int64)
        return (whole << (32 - bits)).astype(np.int32)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            try:
                self._file.close()
            except (soundfile.LibsndfileError, AssertionError) as failure:
                if kind is None:
                    raise self._failure(_plain(failure)) from failure
            if kind is None:
                if self._sink.error:
                    raise self._failure("")
                if self._format == "FLAC" and self._raw.seek(0, os.SEEK_END) == 0:  # libsndfile waits for samples
                    reason = "FLAC cannot hold a sound without samples; use --suffix .wav"
                    raise AudioError(self.path, "unwritable", reason)
                self._raw.close()
                try:
                    os.replace(self._part, self.path)
                except OSError as failure:
                    raise self._failure(failure.strerror or str(failure)) from failure
        finally:
            with contextlib.suppress(OSError):
                self._discard()


def write(path: Path, wave: FloatArray, sample_rate: int, subtype: str = "PCM_16") -> None:
    """Write float32 ``[channels, samples]`` as one file, see :class:`Writer`."""
    with Writer(path, sample_rate, wave.shape[0], subtype) as writer:
        writer.write(wave)


def beyond_full_scale(wave: FloatArray) -> int:
    """How many samples are."""
    return int(np.count_nonzero(np.abs(wave) > 1))


def resample(wave: FloatArray, from_hz: int, to_hz: int) -> FloatArray:
    """``[channels, n]`` at another rate, ``[channels, ceil(n * to_hz / from_hz)]`` (soxr, high quality, no
    delay).
    """
    if from_hz == to_hz:
        return wave
    resampler = StreamResampler(from_hz, to_hz, wave.shape[0])
    out = np.concatenate([resampler.push(wave), resampler.flush()], axis=1)
    return np.ascontiguousarray(out[:, : -(-wave.shape[1] * to_hz // from_hz)])


class StreamResampler:
    """Resample block by block. The output is aligned with the input, and not shorter than ``ceil(n * to /
    from)``.
    """

    def __init__(self, from_hz: int, to_hz: int, channels: int) -> None:
        self._channels = channels
        # Silence after the end, so that the last, partly covered output sample exists as well.
        self._tail = math.ceil(from_hz / to_hz) + 1
        self._stream = (
            None if from_hz == to_hz else soxr.ResampleStream(from_hz, to_hz, channels, dtype="float32", quality="HQ")
        )

    def push(self, block: FloatArray) -> FloatArray:
        """Take ``[channels, n]``, give the ``[channels, m]`` that are ready."""
        return block if self._stream is None else self._convert(block, last=False)

    def flush(self) -> FloatArray:
        """What is left, after the last :meth:`push`."""
        silence = np.zeros((self._channels, self._tail), np.float32)
        return silence[:, :0] if self._stream is None else self._convert(silence, last=True)

    def _convert(self, block: FloatArray, last: bool) -> FloatArray:
        assert self._stream is not None
        frames = np.ascontiguousarray(block.T, dtype=np.float32)
        out = self._stream.resample_chunk(frames if self._channels > 1 else frames[:, 0], last=last)
        return np.ascontiguousarray(out.reshape(-1, self._channels).T)
