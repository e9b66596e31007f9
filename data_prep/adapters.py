"""Find the audio of a source, whatever its layout: plain folders, a manifest, LibriSpeech or LibriTTS.

Nothing is decoded here. The layouts of LibriSpeech and LibriTTS are walked by torchaudio's data set classes.
"""

import csv
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from codec.audio import AUDIO_SUFFIXES
from codec.errors import UserError

DOMAIN_WORDS = frozenset({"speech", "voice", "music", "general"})
OTHER_DOMAIN = "audio"

_SUBSETS = ("dev-clean", "dev-other", "test-clean", "test-other", "train-clean-100", "train-clean-360", "train-other-500")  # fmt: skip  # noqa: E501


@dataclass(frozen=True)
class Entry:
    """One file found. ``relative`` is its path below the source, ``group`` what the layout itself says."""

    path: Path
    relative: str
    source: str
    domain: str
    group: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    """The other columns of its manifest."""


def find(sources: Sequence[Path], domains: Sequence[str] = ()) -> list[Entry]:
    """Every audio file below the sources, each once, sorted by path; only those of ``domains`` if any are
    named.

    Raises:
        UserError: a source does not exist or holds no audio, a manifest has no paths, a domain does not
        occur.
    """
    found: dict[Path, Entry] = {}
    for source in sources:
        for entry in _entries(Path(os.path.abspath(source))):
            found.setdefault(entry.path, entry)
    entries = sorted(found.values(), key=lambda entry: str(entry.path))
    if domains:
        present = sorted({entry.domain for entry in entries})
        for name in domains:
            if name not in present:
                raise UserError(f"no audio of domain {name!r}; the sources hold: {', '.join(present)}")
        entries = [entry for entry in entries if entry.domain in domains]
    return entries


def _entries(source: Path) -> list[Entry]:
    if not source.exists():
        raise UserError(f"{source}: no such folder")
    if source.is_file():
        if source.suffix.lower() in (".csv", ".jsonl"):
            return _from_manifest(source)
        return [Entry(source, source.name, source.parent.name, domain_of(source.parent))]
    manifest = source / "manifest.csv"
    if manifest.is_file() and "path" in _columns(manifest):
        return _from_manifest(manifest)
    subsets = _libri_subsets(source)
    entries = [entry for subset in subsets for entry in _libri(subset)] if subsets else list(_walk(source))
    if not entries:
        if not any(source.iterdir()):
            raise UserError(f"{source}: the folder is empty")
        raise UserError(f"{source}: holds no audio files ({' '.join(sorted(AUDIO_SUFFIXES))})")
    return entries


def domain_of(folder: Path) -> str:
    """The innermost folder name that is a domain's (speech, voice, music, general), else "audio"."""
    return next((part.lower() for part in reversed(folder.parts) if part.lower() in DOMAIN_WORDS), OTHER_DOMAIN)


def _walk(source: Path) -> Iterator[Entry]:
    """Plain folders; hidden files and folders are left out, links are followed, each real folder once."""
    seen: set[str] = set()
    for folder, subfolders, names in os.walk(source, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = [name for name in subfolders if not name.startswith((".", "__MACOSX"))]
        for name in names:
            path = Path(folder, name)
            if path.suffix.lower() in AUDIO_SUFFIXES and not name.startswith("."):
                yield Entry(path, path.relative_to(source).as_posix(), source.name, domain_of(path.parent))


def _columns(manifest: Path) -> list[str]:
    try:
        with manifest.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            return next(csv.reader(file), [])
    except OSError as error:
        raise UserError(f"{manifest}: cannot be read ({error.strerror})") from error


def _from_manifest(manifest: Path) -> list[Entry]:
    """Columns path[,domain,source,group,...]; paths are relative to the manifest's folder."""
    folder = manifest.parent
    entries = []
    for number, row in enumerate(_rows(manifest), 1):
        if not row.get("path"):
            raise UserError(f"{manifest}: entry {number} has no path; columns: {', '.join(row) or 'none'}")
        path = Path(os.path.abspath(folder / row["path"]))
        relative = os.path.relpath(path, folder).replace(os.sep, "/")
        entries.append(
            Entry(
                path=path,
                relative=relative,
                source=row.get("source") or folder.name,
                domain=row.get("domain") or domain_of(path.parent),
                group=row.get("group", ""),
                fields=row,
            )
        )
    if not entries:
        raise UserError(f"{manifest}: lists no files")
    return entries


def _rows(manifest: Path) -> Iterator[dict[str, str]]:
    with manifest.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        if manifest.suffix.lower() == ".csv":
            for row in csv.DictReader(file):
                yield {name: value or "" for name, value in row.items() if isinstance(name, str)}
            return
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    values = json.loads(line)
                except ValueError as error:
                    raise UserError(f"{manifest}: line {number} is not JSON ({error})") from error
                if not isinstance(values, dict):
                    raise UserError(f"{manifest}: line {number} is not an object with a path")
                yield {name: "" if value is None else str(value) for name, value in values.items()}


def _libri_subsets(source: Path) -> list[Path]:
    """The subsets (dev-clean, ...) in ``source``: itself, its children, or those of an archive folder in
    it.
    """
    if source.name in _SUBSETS:
        candidates = [source]
    else:
        archives = [source, *(source / name for name in ("LibriSpeech", "LibriTTS", "LibriTTS_R"))]
        candidates = [archive / name for archive in archives for name in _SUBSETS]
    return [folder for folder in candidates if next(folder.glob("*/*/*.trans.*"), None)]


def _libri(subset: Path) -> Iterator[Entry]:
    """<speaker>/<chapter>/<utterance>, transcripts beside them; the group is the speaker."""
    # Here, because importing it costs seconds that the other layouts need not pay.
    from codec.torchaudio_compat import torchaudio

    where = {"root": subset.parent.parent, "url": subset.name, "folder_in_archive": subset.parent.name}
    if next(subset.glob("*/*/*.trans.txt"), None):
        speech = torchaudio.datasets.LIBRISPEECH(**where)
        archive = subset.parent
        try:
            for number in range(len(speech)):
                relative, _, _, speaker, _, _ = speech.get_metadata(number)
                yield _libri_entry(archive / relative, subset, str(speaker))
        except (FileNotFoundError, ValueError) as error:
            raise UserError(f"{subset}: not a complete LibriSpeech folder ({error})") from error
    else:
        # The public access to an item of LIBRITTS decodes it; its file list is all that is needed.
        for utterance in torchaudio.datasets.LIBRITTS(**where)._walker:
            speaker, chapter = utterance.split("_")[:2]
            yield _libri_entry(subset / speaker / chapter / f"{utterance}.wav", subset, speaker)


def _libri_entry(path: Path, subset: Path, speaker: str) -> Entry:
    relative = path.relative_to(subset.parent).as_posix()
    return Entry(path, relative, f"{subset.parent.name}/{subset.name}", "speech", speaker)
