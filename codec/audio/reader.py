"""Read audio files. The only place that does.

libsndfile lets much damage through without an error: short reads, headers that announce more than the file
holds, NaN. Everything read here is compared with what the file announces and checked for being finite; damage
raises :class:`AudioError`. Waveforms are float32 ``[channels, samples]``, full scale is 1.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from codec import ogg
from codec.audio.errors import AudioError
from codec.audio.libsndfile import explain
from codec.audio.samples import FloatArray
from codec.audio.tags import DECODER, TAGS

AUDIO_SUFFIXES = frozenset(
    ".wav .wave .bwf .rf64 .w64 .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .snd .caf .voc .sph .nist".split()
)
"""Lower-case suffixes of files that can be read."""

_SLACK_BYTES = 64
_SHORTFALL = re.compile(r"^\s*(?:data|SSND|riff|Riff size|Data Size)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
_STREAM_SIZES = {0, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFF000, 0xFFFFF000}
"""Sizes that writers to a pipe put in a header they cannot come back to."""


@dataclass(frozen=True)
class AudioInfo:
    """What the header of an audio file states.

    Args:
        path: the file.
        format: the container, by libsndfile's name where it has one (``WAV``), else ``MP4`` and the like.
        subtype: the coding of the samples, by libsndfile's name where it has one (``PCM_16``), else ``AAC`` and the
            like.
        sample_rate: of the decoded samples, in Hz.
        channels: their number.
        frames: samples per channel that the header claims, None where it claims nothing or only an estimate.
        tags: title, artist and the like, by the names in :data:`TAGS`.
        decoded: whether the file states that it was decoded from codes.
    """

    path: Path
    format: str
    subtype: str
    sample_rate: int
    channels: int
    frames: int | None
    tags: Mapping[str, str] = field(default_factory=dict, compare=False)
    decoded: bool = False

    @property
    def kind(self) -> str:
        """Coding and container as one would print them, such as ``AAC in MP4``."""
        return f"{self.subtype} in {self.format}"

    @property
    def seconds(self) -> float | None:
        """Claimed duration, None where none is claimed."""
        return None if self.frames is None else self.frames / self.sample_rate


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
        raise AudioError(path, "unreadable", f"not a readable sound file ({explain(error)})") from error
    if file.frames >= 2**62:
        file.close()
        raise AudioError(path, "unreadable", "the header states no length (a streamed file); convert it first")
    return file


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
                where = f"after {done / file.samplerate:.2f} s ({explain(error)})"
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
