"""Read audio files: the one way in, whatever decodes them.

What a file is follows from its bytes, and which decoder is right for it from a table that was measured. Damage is an
error: decoders let much through, so that everything here is compared with what the file states, and checked for being
finite. Waveforms are float32 ``[channels, samples]``, full scale is 1.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from codec.audio.decoder import Damage, Decoder, Unsupported, regrouped
from codec.audio.errors import AudioError
from codec.audio.ffmpeg import FFmpegDecoder
from codec.audio.flac import FlacDecoder
from codec.audio.identify import identify
from codec.audio.identity import BackEnd, Identity, NotAudio
from codec.audio.libsndfile import LibsndfileDecoder
from codec.audio.mpeg import MpegDecoder
from codec.audio.ogg import OggDecoder
from codec.audio.samples import FloatArray
from codec.audio.tags import read_tags

AUDIO_SUFFIXES = frozenset(
    """
    .wav .wave .bwf .bw64 .rf64 .w64 .flac .fla .ogg .oga .ogx .opus .spx .mp3 .mp2 .mp1 .mpga .mpa .aif .aiff .aifc
    .au .snd .caf .voc .sph .nist .aac .adts .m4a .m4b .m4r .mp4 .m4v .mov .qt .3gp .3gpp .3g2 .webm .weba .mkv .mka
    .wma .asf .wmv .wv .ape .tta .tak .amr .awb .ac3 .eac3 .dts .dsf .dff .mpc .shn .avi .flv .ogv .m2ts .ra .rm
    """.split()
)
"""Lower-case suffixes of the files that commands look for in folders. What a file is, its bytes say."""

_BLOCK_FRAMES = 65536

_DECODERS: dict[BackEnd, Callable[[Path, Identity], Decoder]] = {
    "libsndfile": LibsndfileDecoder,
    "FLAC": FlacDecoder,
    "FFmpeg": FFmpegDecoder,
    "Ogg": OggDecoder,
    "MPEG": MpegDecoder,
}


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
        other_streams: audio streams in the file that are not read; the default one is, else the first.
        pictures: number of pictures among the tags.
    """

    path: Path
    format: str
    subtype: str
    sample_rate: int
    channels: int
    frames: int | None
    tags: Mapping[str, str] = field(default_factory=dict, compare=False)
    decoded: bool = False
    other_streams: int = 0
    pictures: int = 0

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


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Decoder, Identity]]:
    """Open a file with the decoder that is right for it; what goes wrong meanwhile becomes an AudioError."""
    if not path.is_file():
        raise AudioError(path, "unreadable", _why_no_file(path))
    if path.stat().st_size == 0:
        raise AudioError(path, "empty", "the file is empty (0 bytes)")
    if not os.access(path, os.R_OK):
        raise AudioError(path, "unreadable", "no permission to read the file")
    decoder: Decoder | None = None
    try:
        with path.open("rb") as file:
            identity = identify(file, path.stat().st_size)
        if isinstance(identity, NotAudio):
            raise AudioError(path, "unreadable", identity.reason)
        decoder = _decoder(path, identity)
        yield decoder, identity
    except Unsupported as error:
        raise AudioError(path, "unreadable", str(error)) from error
    except Damage as error:
        raise AudioError(path, "cut off or damaged", str(error)) from error
    except OSError as error:
        raise AudioError(path, "unreadable", f"cannot be read ({error.strerror or error})") from error
    finally:
        if decoder is not None:
            decoder.close()


def _why_no_file(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    if path.exists():
        return "a pipe or device, not a file; pass - and send it to standard input"
    return "a link to what does not exist" if path.is_symlink() else "no such file"


def _decoder(path: Path, identity: Identity) -> Decoder:
    """Open ``path`` with its back end; FFmpeg is tried with what libsndfile refuses."""
    try:
        return _DECODERS[identity.back_end](path, identity)
    except Unsupported as error:
        if identity.back_end == "FFmpeg" or not identity.demuxer:
            raise Unsupported(f"{identity.container} that cannot be read ({error})") from error
        with contextlib.suppress(Unsupported):
            return FFmpegDecoder(path, identity)
        raise Unsupported(f"{identity.container} that cannot be read ({error})") from error


def info(path: Path) -> AudioInfo:
    """Describe an audio file by its header.

    Raises:
        AudioError: it cannot be opened.
    """
    path = Path(path)
    with _opened(path) as (decoder, identity):
        found = decoder.description
        tags = read_tags(path, identity)
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
    """Yield the samples of a file in blocks, float32 ``[channels, 1 <= n <= block_frames]``, in constant memory.

    Blocks of any size join to the same samples, bit for bit. A stated length is a claim: more samples are read, fewer
    are an error.

    Raises:
        AudioError: not readable, no samples, cut off, damaged, or holding NaN or infinity. Blocks that were
            already yielded are good.
    """
    path = Path(path)
    with _opened(path) as (decoder, identity):
        yield from _checked(path, decoder, identity, block_frames)


def _checked(path: Path, decoder: Decoder, identity: Identity, block_frames: int) -> Iterator[FloatArray]:
    """Yield the blocks of an open file; see :func:`blocks`."""
    rate, done = decoder.description.sample_rate, 0
    for block in regrouped(decoder.blocks(), block_frames):
        if not np.isfinite(block).all():
            first = done + int(np.argmin(np.isfinite(block).all(axis=0)))
            raise AudioError(path, "NaN or infinity", f"NaN or infinity at {first / rate:.2f} s (sample {first})")
        done += block.shape[1]
        yield block
    if identity.fault:
        raise Damage(identity.fault)
    if not done:
        raise AudioError(path, "empty", "holds no samples")


def read(path: Path) -> Audio:
    """Read a whole file. Raises :class:`AudioError` as :func:`blocks` does."""
    path = Path(path)
    with _opened(path) as (decoder, identity):
        waveform = np.concatenate(list(_checked(path, decoder, identity, _BLOCK_FRAMES)), axis=1)
        return Audio(waveform, decoder.description.sample_rate)
