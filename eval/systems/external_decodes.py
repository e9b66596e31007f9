"""Audio decoded by another codec, in a folder that the user provides, and the sizes of its coded files.

Decoded files have the names of the recordings (at least the end of their path that identifies them, with any suffix of
a sound file) or the ``clip_id`` of the packed clip. The bytes are listed in ``bytes.csv`` (columns file, bytes), or are
the size of a file with the same name and another suffix in the same folder.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from codec import audio
from codec.audio import FloatArray
from codec.dataset.clips import Clip
from codec.dataset.packed_split import PackedSplit
from codec.errors import UserError
from codec.runtime.progress import ProgressBar
from eval.metrics.alignment import Correlation, correlate

_DECODE_SUFFIXES = (".wav", ".wave", ".flac", ".aiff", ".aif", ".aifc", ".w64", ".rf64", ".caf", ".au")
_BYTES_CSV = "bytes.csv"
_MAX_LENGTH_ERROR_S = 0.02
"""Decoded audio is truncated or padded with silence if its length differs by no more than this."""
_MAX_DELAY_S = 0.001
_MIN_CORRELATION, _MIN_RATIO = 0.5, 1.2
"""Decoded audio counts as delayed if the largest absolute correlation with the original exceeds the first number, and
exceeds the largest near lag 0 by the factor of the second. Its polarity counts as inverted if, near lag 0, the
correlation with the inverted original exceeds the first number, and that with the original by the second factor."""

_Key = tuple[str, ...]
"""A path below the folder, without its suffix."""


@dataclass(frozen=True)
class ExternalDecode:
    """A clip decoded outside this evaluation."""

    source: Path
    """The file in the user's folder."""
    decoded: Path
    """A sound file at the clip's rate, channels and length."""
    bytes: int | None
    """Size of the coded file; None if unknown."""
    inverted: bool = False
    """True if the polarity is inverted; set by :func:`check_alignment`."""


def check_folders(decoded: Mapping[str, Path]) -> None:
    """Check that folders hold decoded audio.

    Args:
        decoded: name of a codec to the folder of its decoded files.

    Raises:
        UserError: a folder is missing or holds no sound files.
    """
    for name, folder in decoded.items():
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such folder of audio decoded by {name}")
        if not _by_key(folder, audio_files=True):
            raise UserError(
                f"{folder}: holds no audio decoded by {name} ({', '.join(_DECODE_SUFFIXES[:3])} and the like)"
            )


def find_decodes(
    folder: Path, clips: Sequence[Clip], indices: Sequence[int], sample_rate: int, channels: int, work: Path
) -> list[ExternalDecode]:
    """Find, check and convert the decoded files of clips. The audio of the clips themselves is not needed.

    Args:
        folder: folder of the decoded files.
        clips: all clips of the split.
        indices: indices of the clips to find.
        sample_rate: sample rate of the packed clips, in Hz.
        channels: number of channels of the packed clips.
        work: folder to create for the converted files.

    Returns:
        The decoded files in the order of ``indices``.

    Raises:
        UserError: a decoded file is missing, could be that of several recordings, cannot be read, or lasts longer or
            shorter than its recording; or the sizes of only some coded files are known.
    """
    files = _match(folder, clips, indices)
    sizes = _sizes(folder, files)
    work.mkdir()
    found = []
    for index, file, size in zip(ProgressBar(indices, desc=f"read {folder}", unit="clip"), files, sizes):
        target = work / f"{index:05d}.wav"
        audio.write(target, _convert(file, channels, clips[index].frames, sample_rate), sample_rate)
        found.append(ExternalDecode(file, target, size))
    return found


def check_alignment(
    found: Sequence[ExternalDecode], split: PackedSplit, indices: Sequence[int]
) -> list[ExternalDecode]:
    """Check that decoded files are not delayed, and find those of inverted polarity.

    Args:
        found: the decoded files.
        split: the clips.
        indices: indices of the clips, in the order of ``found``.

    Returns:
        The decoded files with their polarity.

    Raises:
        UserError: a decoded file is late or early relative to its recording.
    """
    checked = []
    for index, one in zip(ProgressBar(indices, desc="check delays", unit="clip"), found):
        original = split.waveform(index)
        correlation = correlate(audio.read(one.decoded).samples, original)
        tolerance = round(_MAX_DELAY_S * split.sample_rate)
        if correlation is not None and (late := _delay(correlation, tolerance)):
            shift = f"{abs(late) / split.sample_rate * 1000:.1f} ms {'late' if late > 0 else 'early'}"
            raise UserError(f"{one.source}: is {shift} relative to its recording; remove the delay of the codec")
        checked.append(replace(one, inverted=correlation is not None and _is_inverted(correlation, tolerance)))
    return checked


def describe_polarity(found: Sequence[ExternalDecode]) -> str:
    """Describe the number of decoded files of inverted polarity.

    Args:
        found: decoded files of a codec.

    Returns:
        A note for a table; empty if there are none.
    """
    inverted = sum(one.inverted for one in found)
    if not inverted:
        return ""
    which = "" if inverted == len(found) else f" in {inverted} of {len(found)} decoded files"
    return f"polarity is inverted{which}"


def _by_key(folder: Path, *, audio_files: bool) -> dict[_Key, list[Path]]:
    found: dict[_Key, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (path.suffix.lower() in _DECODE_SUFFIXES) == audio_files:
            found.setdefault(_key(path.relative_to(folder)), []).append(path)
    return found


def _key(path: Path) -> _Key:
    return (*path.parts[:-1], path.stem)


def _match(folder: Path, clips: Sequence[Clip], indices: Sequence[int]) -> list[Path]:
    files = _by_key(folder, audio_files=True)
    matched: dict[int, _Key] = {}
    owner: dict[_Key, int] = {}
    for index, clip in enumerate(clips):
        name = _key(clip.path)
        keys = [(clip.clip_id,), *(name[start:] for start in range(len(name)))]
        if (key := next((key for key in keys if key in files), None)) is not None:
            if key in owner:
                both = " and ".join(str(clips[i].path) for i in (owner[key], index))
                raise UserError(
                    f"{files[key][0]}: could be {both}; put decoded files in folders like those of the recordings"
                )
            owner[key], matched[index] = index, key
    if missing := [clips[index].path for index in indices if index not in matched]:
        raise UserError(
            f"{folder}: no decoded file for {len(missing)} of {len(indices)} recordings, such as {missing[0]}; name"
            " decoded files like the recordings, or by their clip_id"
        )
    found = [files[matched[index]] for index in indices]
    if twice := next((paths for paths in found if len(paths) > 1), None):
        raise UserError(f"{twice[0]}: there is also {twice[1].name}; keep only the decoded file")
    return [paths[0] for paths in found]


def _sizes(folder: Path, files: Sequence[Path]) -> list[int | None]:
    if (folder / _BYTES_CSV).is_file():
        listed = _listed(folder / _BYTES_CSV)
        keys = [_key(file.relative_to(folder)) for file in files]
        if missing := [file for file, key in zip(files, keys) if key not in listed]:
            raise UserError(f"{folder / _BYTES_CSV}: has no line for {missing[0].relative_to(folder)}")
        return [listed[key] for key in keys]
    others = _by_key(folder, audio_files=False)
    coded = [others.get(_key(file.relative_to(folder)), []) for file in files]
    if several := next((paths for paths in coded if len(paths) > 1), None):
        raise UserError(f"{several[0]}: there is also {several[1].name}; list the coded sizes in {_BYTES_CSV}")
    if any(coded) and (missing := [file for file, paths in zip(files, coded) if not paths]):
        raise UserError(f"{missing[0]}: has no coded file of the same name, but other decoded files have one")
    return [paths[0].stat().st_size if paths else None for paths in coded]


def _listed(path: Path) -> dict[_Key, int]:
    found = {}
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            for row in csv.DictReader(file):
                if (size := int(row["bytes"])) <= 0:
                    raise ValueError(f"{size} bytes for {row['file']}")
                # A name may contain dots: accept it with the suffix of the decoded file and without.
                name = Path(row["file"])
                found[_key(name) if name.suffix.lower() in _DECODE_SUFFIXES else name.parts] = size
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not a table with columns file and bytes ({error})") from error
    return found


def _convert(path: Path, channels: int, samples: int, sample_rate: int) -> FloatArray:
    """Return the decoded audio in the shape ``[channels, samples]`` of the recording; channels are handled as in
    packing.
    """
    clip = audio.read(path)
    wave = clip.samples
    if len(wave) != channels:
        wave = np.repeat(wave.mean(0, keepdims=True), channels, axis=0)
    wave = audio.resample(wave, clip.sample_rate, sample_rate)
    if abs(wave.shape[1] - samples) > _MAX_LENGTH_ERROR_S * sample_rate:
        raise UserError(
            f"{path}: lasts {wave.shape[1] / sample_rate:.2f} s, its recording {samples / sample_rate:.2f} s"
        )
    return np.pad(wave, ((0, 0), (0, max(0, samples - wave.shape[1]))))[:, :samples]


def _delay(correlation: Correlation, tolerance: int) -> int:
    """Return the delay of the decoded audio in samples for either polarity, or 0 if no delay is clear."""
    values = np.abs(correlation.values)
    best = int(values.argmax())
    near = np.abs(correlation.near(tolerance)).max()
    return best - correlation.centre if values[best] > _MIN_CORRELATION and values[best] > _MIN_RATIO * near else 0


def _is_inverted(correlation: Correlation, tolerance: int) -> bool:
    """Return whether the decoded audio clearly resembles the inverted original, and more than the original."""
    near = correlation.near(tolerance)
    return bool(-near.min() > _MIN_CORRELATION and -near.min() > _MIN_RATIO * near.max())
