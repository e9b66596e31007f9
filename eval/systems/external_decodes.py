"""Another codec's decodes in a folder that the user brings, with the bytes that they took.

Decoded files are called like the recordings (the end of their path, as far as it is needed to tell them apart, with any
suffix that sound has) or by the ``clip_id`` of the packed clip. Bytes stand in ``bytes.csv`` (columns file, bytes), or
are those of a file beside each decode with the same name and another suffix.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from codec import audio
from codec.dataset.packed import Clip, PackedSplit
from codec.errors import UserError
from eval.metrics.alignment import Correlation, correlate
from eval.metrics.functions import Wave

SOUND = (".wav", ".wave", ".flac", ".aiff", ".aif", ".aifc", ".w64", ".rf64", ".caf", ".au")
BYTES = "bytes.csv"
MOST_APART_S = 0.02
"""A decode is cut, or silence put behind it, where its length differs by no more than this."""
MOST_LATE_S = 0.001
ALIKE, BEYOND = 0.5, 1.2
"""A decode is shifted if it resembles the original, or the original of inverted polarity, somewhere else by this much,
and so many times more than here; and of inverted polarity if it resembles that here by so much, and so much more."""

Key = tuple[str, ...]
"""A path below the folder, its suffix left out."""


@dataclass(frozen=True)
class ExternalDecode:
    """``source``: the file that was brought. ``decoded``: at the clip's rate, channels and length. ``bytes``: None if
    unknown. ``inverted``: its polarity is, which :func:`check_alignment` finds."""

    source: Path
    decoded: Path
    bytes: int | None
    inverted: bool = False


def check_folders(decoded: Mapping[str, Path]) -> None:
    """Raises ``UserError`` for a folder that is missing or holds no decodes."""
    for name, folder in decoded.items():
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder of decodes by {name}")
        if not _by_key(folder, sound=True):
            raise UserError(f"{folder}: holds no decodes by {name} ({', '.join(SOUND[:3])} and the like)")


def supplied(
    folder: Path, clips: Sequence[Clip], indices: Sequence[int], sample_rate: int, channels: int, work: Path
) -> list[ExternalDecode]:
    """Finds, checks and converts the decodes of the clips with these ``indices``, packed at ``sample_rate`` with
    ``channels``; they are written to ``work``. The sound of the clips is not needed.

    Raises ``UserError`` where a decode is missing or could be that of several recordings, cannot be read, lasts longer
    or shorter than its recording, or where the bytes of some are known and of others not.
    """
    files = _match(folder, clips, indices)
    sizes = _sizes(folder, files)
    work.mkdir()
    found = []
    for index, file, size in zip(tqdm(indices, desc=f"read {folder}", unit="clip"), files, sizes):
        target = work / f"{index:05d}.wav"
        audio.write(target, _fitted(file, channels, clips[index].frames, sample_rate), sample_rate)
        found.append(ExternalDecode(file, target, size))
    return found


def check_alignment(
    found: Sequence[ExternalDecode], split: PackedSplit, indices: Sequence[int]
) -> list[ExternalDecode]:
    """Find out which decodes are of inverted polarity.

    Raises:
        UserError: a decode is shifted against its recording.
    """
    checked = []
    for index, one in zip(tqdm(indices, desc="check delays", unit="clip"), found):
        original = split.waveform(index)
        correlation = correlate(audio.read(one.decoded).samples, original)
        tolerance = round(MOST_LATE_S * split.sample_rate)
        if correlation is not None and (late := _shift(correlation, tolerance)):
            how = f"{abs(late) / split.sample_rate * 1000:.1f} ms {'late' if late > 0 else 'early'}"
            raise UserError(f"{one.source}: begins {how} against its recording; take out the delay of the codec")
        checked.append(replace(one, inverted=correlation is not None and _is_inverted(correlation, tolerance)))
    return checked


def describe_polarity(found: Sequence[ExternalDecode]) -> str:
    """A note where decodes are of inverted polarity, or nothing."""
    inverted = sum(one.inverted for one in found)
    if not inverted:
        return ""
    which = "" if inverted == len(found) else f" in {inverted} of {len(found)} decodes"
    return f"polarity is inverted{which}"


def _by_key(folder: Path, *, sound: bool) -> dict[Key, list[Path]]:
    found: dict[Key, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (path.suffix.lower() in SOUND) == sound:
            found.setdefault(_key(path.relative_to(folder)), []).append(path)
    return found


def _key(path: Path) -> Key:
    return (*path.parts[:-1], path.stem)


def _match(folder: Path, clips: Sequence[Clip], indices: Sequence[int]) -> list[Path]:
    files = _by_key(folder, sound=True)
    matched: dict[int, Key] = {}
    owner: dict[Key, int] = {}
    for index, clip in enumerate(clips):
        name = _key(clip.path)
        keys = [(clip.clip_id,), *(name[start:] for start in range(len(name)))]
        if (key := next((key for key in keys if key in files), None)) is not None:
            if key in owner:
                both = " and ".join(str(clips[i].path) for i in (owner[key], index))
                raise UserError(
                    f"{files[key][0]}: could be {both}; put decodes in folders like those of the recordings"
                )
            owner[key], matched[index] = index, key
    if missing := [clips[index].path for index in indices if index not in matched]:
        raise UserError(
            f"{folder}: no decode of {len(missing)} of {len(indices)} recordings, such as {missing[0]}; name decodes"
            " like the recordings, or by their clip_id"
        )
    found = [files[matched[index]] for index in indices]
    if twice := next((paths for paths in found if len(paths) > 1), None):
        raise UserError(f"{twice[0]}: there is {twice[1].name}, too; which one is the decode?")
    return [paths[0] for paths in found]


def _sizes(folder: Path, files: Sequence[Path]) -> list[int | None]:
    if (folder / BYTES).is_file():
        listed = _listed(folder / BYTES)
        keys = [_key(file.relative_to(folder)) for file in files]
        if missing := [file for file, key in zip(files, keys) if key not in listed]:
            raise UserError(f"{folder / BYTES}: has no line for {missing[0].relative_to(folder)}")
        return [listed[key] for key in keys]
    others = _by_key(folder, sound=False)
    beside = [others.get(_key(file.relative_to(folder)), []) for file in files]
    if several := next((paths for paths in beside if len(paths) > 1), None):
        raise UserError(f"{several[0]}: there is {several[1].name}, too; say in {BYTES} how many bytes were needed")
    if any(beside) and (missing := [file for file, paths in zip(files, beside) if not paths]):
        raise UserError(f"{missing[0]}: no coded file beside it, though others have one")
    return [paths[0].stat().st_size if paths else None for paths in beside]


def _listed(path: Path) -> dict[Key, int]:
    found = {}
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            for row in csv.DictReader(file):
                if (size := int(row["bytes"])) <= 0:
                    raise ValueError(f"{size} bytes for {row['file']}")
                # a name may have dots in it: taken with the suffix of the decode, and without
                name = Path(row["file"])
                found[_key(name) if name.suffix.lower() in SOUND else name.parts] = size
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not a table with columns file and bytes ({error})") from error
    return found


def _fitted(path: Path, channels: int, samples: int, sample_rate: int) -> Wave:
    """``[channels, samples]`` like the recording. Channels are handled as in the packing of recordings."""
    clip = audio.read(path)
    wave = clip.samples
    if len(wave) != channels:
        wave = np.repeat(wave.mean(0, keepdims=True), channels, axis=0)
    wave = audio.resample(wave, clip.sample_rate, sample_rate)
    if abs(wave.shape[1] - samples) > MOST_APART_S * sample_rate:
        raise UserError(
            f"{path}: lasts {wave.shape[1] / sample_rate:.2f} s, its recording {samples / sample_rate:.2f} s"
        )
    return np.pad(wave, ((0, 0), (0, max(0, samples - wave.shape[1]))))[:, :samples]


def _shift(correlation: Correlation, tolerance: int) -> int:
    """Samples by which the decode clearly comes late, whatever its polarity; 0 where it does not, or is too unlike the
    original to say."""
    alike = np.abs(correlation.values)
    best = int(alike.argmax())
    near = np.abs(correlation.near(tolerance)).max()
    return best - correlation.centre if alike[best] > ALIKE and alike[best] > BEYOND * near else 0


def _is_inverted(correlation: Correlation, tolerance: int) -> bool:
    """Whether the decode clearly resembles the original of inverted polarity, and more than the original."""
    near = correlation.near(tolerance)
    return bool(-near.min() > ALIKE and -near.min() > BEYOND * near.max())
