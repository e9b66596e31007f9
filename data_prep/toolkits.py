"""Lists of the speech toolkits: data folders of Kaldi and ESPnet, recordings and cuts of lhotse.

Formats: Kaldi, https://kaldi-asr.org/doc/data_prep.html; lhotse, ``RecordingSet``, ``SupervisionSet`` and ``CutSet`` as
JSON Lines. If the speakers are known, the domain is speech.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from codec.batch.inputs import read_text
from codec.errors import UserError
from data_prep.entries import OTHER_DOMAIN, AudioEntry, domain_of
from data_prep.tables import read_json_lines

_ARCHIVE = re.compile(r"\.ark:\d+$")
_PARENTS = 4
"""Number of folders above a list in which its relative paths may begin: recipes run levels above ``data/train``."""


def relative_to(path: Path, folder: Path) -> str:
    """Return a path relative to a folder.

    Args:
        path: path of a file, which may lie outside the folder.
        folder: path of the folder.

    Returns:
        The relative path with forward slashes.
    """
    return os.path.relpath(path, folder).replace(os.sep, "/")


def read_kaldi(scp: Path) -> Iterator[AudioEntry]:
    """Read Kaldi's ``wav.scp``. Groups are the speakers in ``utt2spk``, through ``segments`` if there is one.

    Args:
        scp: path of the list.

    Yields:
        The files.

    Raises:
        UserError: a line is not a pair of words, or names a command or an offset in an archive, which are not read.
    """
    pairs = _pairs(scp)
    for number, (_, name) in enumerate(pairs, 1):
        if name.endswith("|") or name.startswith("|") or name == "-":
            raise UserError(
                f"{scp}: line {number} is a command ({name[:60]}), which is not run; write audio files first"
            )
        if _ARCHIVE.search(name):
            raise UserError(f"{scp}: line {number} is an offset in an archive ({name[:60]}); write audio files first")
    speakers = _kaldi_speakers(scp.parent)
    folder = Path(os.path.abspath(scp.parent))
    base = _base(folder, pairs[0][1] if pairs else "")
    parts = (scp.parent / "segments").is_file()
    for key, name in pairs:
        yield from _entries(base / name, folder, key, speakers.get(key, set()), parts=parts)


def _kaldi_speakers(folder: Path) -> Mapping[str, set[str]]:
    """Return the speakers of each recording."""
    speakers: dict[str, set[str]] = defaultdict(set)
    for utterance, speaker in _pairs(folder / "utt2spk") if (folder / "utt2spk").is_file() else ():
        speakers[utterance].add(speaker)
    if not (folder / "segments").is_file():
        return speakers
    recordings: dict[str, set[str]] = defaultdict(set)
    for utterance, rest in _pairs(folder / "segments"):
        recordings[rest.split()[0]] |= speakers.get(utterance, set())
    return recordings


def _pairs(path: Path) -> list[tuple[str, str]]:
    found = []
    for number, line in enumerate(read_text(path, "list").split("\n"), 1):
        if line.strip():
            first, *rest = line.split(maxsplit=1)
            if not rest:
                raise UserError(f"{path}: line {number} has one word; each line needs a key and its value")
            found.append((first, rest[0].strip()))
    return found


def is_lhotse(first: Mapping[str, object]) -> bool:
    """Return whether a list is one of lhotse's.

    Args:
        first: its first object.

    Returns:
        True for supervisions, cuts and recordings.
    """
    if _has_cuts(first) or isinstance(first.get("sources"), list):
        return True
    return "recording_id" in first and "sources" not in first


def _has_cuts(first: Mapping[str, object]) -> bool:
    return "recording" in first or "tracks" in first


def read_lhotse(path: Path, values: Sequence[dict[str, object]]) -> list[AudioEntry]:
    """Read lhotse's recordings or cuts. Speakers are those of the supervisions in the cuts, or in the file of
    supervisions with the same name next to the recordings.

    Args:
        path: path of the list.
        values: its objects, for which :func:`is_lhotse` holds.

    Returns:
        The files.

    Raises:
        UserError: a source is not a file, or the list consists of supervisions.
    """
    cuts = _has_cuts(values[0])
    if not cuts and "sources" not in values[0]:
        raise UserError(f"{path}: these are lhotse's supervisions, which name no files; give the recordings")
    speakers: dict[str, set[str]] = defaultdict(set)
    recordings: dict[str, dict[str, object]] = {}
    try:
        if cuts:
            for cut in values:
                for part in (track["cut"] for track in cut["tracks"]) if "tracks" in cut else (cut,):  # type: ignore
                    _take_cut(part, recordings, speakers)
        else:
            recordings = {str(value["id"]): value for value in values}
            for value in _supervisions(path):
                _take_speaker(value, speakers)
        folder = Path(os.path.abspath(path.parent))
        names = [(key, _source(path, source)) for key, value in recordings.items() for source in value["sources"]]  # type: ignore
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: this list of lhotse's is not complete ({error!r})") from error
    base = _base(folder, names[0][1] if names else "")
    return [
        entry
        for key, name in names
        for entry in _entries(base / name, folder, key, speakers.get(key, set()), parts=True)
    ]


def _take_cut(cut: dict[str, object], recordings: dict[str, dict[str, object]], speakers: dict[str, set[str]]) -> None:
    recording = cut.get("recording")
    if isinstance(recording, dict):  # a padding cut has none
        recordings.setdefault(str(recording["id"]), recording)
        for value in cut.get("supervisions") or []:  # type: ignore[attr-defined]
            _take_speaker({**value, "recording_id": recording["id"]}, speakers)


def _take_speaker(supervision: dict[str, object], speakers: dict[str, set[str]]) -> None:
    if supervision.get("speaker"):
        speakers[str(supervision["recording_id"])].add(str(supervision["speaker"]))


def _supervisions(recordings: Path) -> Iterator[dict[str, object]]:
    path = recordings.with_name(recordings.name.replace("recordings", "supervisions"))
    return read_json_lines(path) if path != recordings and path.is_file() else iter(())


def _source(path: Path, source: dict[str, object]) -> str:
    if source.get("type") != "file":
        raise UserError(f"{path}: sources of the type {source.get('type')!r} are not read; write audio files first")
    return str(source["source"])


def _base(folder: Path, name: str) -> Path:
    """Return the folder in which relative paths begin: the list's, or the nearest one above that has the first file."""
    candidates = [folder, *list(folder.parents)[:_PARENTS]]
    return next((candidate for candidate in candidates if (candidate / name).exists()), folder)


def _entries(path: Path, folder: Path, recording: str, speakers: set[str], *, parts: bool) -> Iterator[AudioEntry]:
    """Yield an entry for each speaker of a recording, or one without a group if none is known.

    ``parts``: the speakers are those of segments.
    """
    path = Path(os.path.abspath(path))
    domain = domain_of(path.parent)
    for speaker in sorted(speakers) or [""]:
        yield AudioEntry(
            path=path,
            relative=relative_to(path, folder),
            source=folder.name,
            domain="speech" if speakers and domain == OTHER_DOMAIN else domain,
            group=speaker,
            recording=recording,
            plain=not speakers,
            part=parts,
        )
