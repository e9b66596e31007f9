"""Find the audio of the sources, whatever their layout: corpora, lists, plain folders, single files.

Nothing is decoded here. A corpus is looked for in the source itself, in the folders one and two levels below it, and,
where the source is a part of one (its ``wavs/`` or ``clips/``), in the folder above.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from codec.audio.suffixes import AUDIO_SUFFIXES
from codec.errors import UserError
from codec.runtime.file_walk import find_files
from data_prep.entries import AudioEntry, domain_of
from data_prep.layouts import CorpusLayout, FolderTree, recognise
from data_prep.lists import LIST_SUFFIXES, read_audio_list

_DEPTH = 2
_PREPARED = {"manifest.csv", "inventory.jsonl"}
"""Files of a folder that ``codec prepare`` wrote: within a source, its manifest is no corpus."""
_MOST_FOLDERS = 64
"""A folder with more subfolders than that is no collection of corpora, and they are not looked into."""


@dataclass(frozen=True)
class Corpus:
    """A layout that was recognised in ``folder``, with its files."""

    layout: CorpusLayout
    folder: Path
    entries: tuple[AudioEntry, ...]
    unlisted: int
    """Audio files below the folder that the corpus' own list does not name, and that are left out."""


@dataclass(frozen=True)
class Sources:
    """What the sources hold. ``entries``: each file once, sorted by path."""

    entries: tuple[AudioEntry, ...]
    corpora: tuple[Corpus, ...]
    others: tuple[Path, ...]
    """Files that are no audio, nor part of a corpus that was recognised."""
    unlisted: tuple[str, ...]
    """Folders that could not be listed, each with the reason."""


def find_audio(sources: Sequence[Path], domains: Sequence[str] = (), *, plain: bool = False) -> Sources:
    """Find every audio file below the sources.

    Args:
        domains: take only files of these.
        plain: take folders as they are, and recognise no corpus.

    Raises:
        UserError: a source does not exist or holds no audio, a folder or list cannot be read, a domain does not occur.
    """
    found: dict[Path, AudioEntry] = {}
    corpora: list[Corpus] = []
    others: dict[Path, None] = {}
    unlisted: dict[str, None] = {}
    for source in sources:
        held = _held(Path(os.path.abspath(source)), plain)
        for entry in held.entries:
            found.setdefault(entry.path, entry)
        corpora += held.corpora
        others.update(dict.fromkeys(held.others))
        unlisted.update(dict.fromkeys(held.unlisted))
    entries = [found[path] for path in sorted(found, key=str)]
    if domains:
        present = sorted({entry.domain for entry in entries})
        for name in domains:
            if name not in present:
                raise UserError(f"no audio of domain {name!r}; the sources hold: {', '.join(present)}")
        entries = [entry for entry in entries if entry.domain in domains]
    return Sources(tuple(entries), tuple(corpora), tuple(others), tuple(unlisted))


def _held(source: Path, plain: bool) -> Sources:
    """What one source holds."""
    if not source.exists():
        raise UserError(f"{source}: no such folder")
    if source.is_file():
        if source.suffix.lower() in LIST_SUFFIXES:
            return Sources(tuple(read_audio_list(source)), (), (), ())
        return Sources((AudioEntry(source, source.name, source.parent.name, domain_of(source.parent)),), (), (), ())
    walked = find_files(source, AUDIO_SUFFIXES)
    audio, others = (
        sorted(path.relative_to(source).as_posix() for path in files) for files in (walked.files, walked.others)
    )
    tree = FolderTree(source, audio, others)
    corpora = [] if plain else list(_corpora(tree, source))
    entries = [entry for corpus in corpora for entry in corpus.entries]
    claimed = [f"{corpus.folder.relative_to(source).as_posix()}/" for corpus in corpora]
    prefixes = tuple("" if prefix == "./" else prefix for prefix in claimed)
    entries += [_plain(source, path) for path in tree.audio if not path.startswith(prefixes)]
    if not entries:
        if not any(source.iterdir()):
            raise UserError(f"{source}: the folder is empty")
        raise UserError(f"{source}: holds no audio files (.wav .flac .mp3 .opus .m4a and the like)")
    rest = (source / path for path in tree.others if not path.startswith(prefixes))
    unlisted = (f"{folder} ({reason})" for folder, reason in walked.unlisted.items())
    return Sources(tuple(entries), tuple(corpora), tuple(rest), tuple(unlisted))


def _plain(source: Path, path: str) -> AudioEntry:
    file = source / path
    return AudioEntry(file, path, source.name, domain_of(file.parent), plain=True)


def _corpora(tree: FolderTree, source: Path) -> Iterator[Corpus]:
    """The corpora in a source; none lies within another."""
    found = list(_search(tree, source, _DEPTH))
    if not found and (layout := _of_parent(tree)):
        found = [_corpus(layout, tree, source, f"{source.name}/")]
    yield from found


def _search(tree: FolderTree, source: Path, depth: int) -> Iterator[Corpus]:
    if tree.root != source and _PREPARED <= tree.names:
        return
    if layout := recognise(tree):
        yield _corpus(layout, tree, source)
    elif depth and len(tree.folders) <= _MOST_FOLDERS:
        for name in tree.folders:
            yield from _search(tree.below(name), source, depth - 1)


def _of_parent(tree: FolderTree) -> CorpusLayout | None:
    """The layout of a corpus of which the tree is one folder."""
    parent, name = tree.root.parent, tree.root.name
    try:
        beside = sorted(path.name for path in parent.iterdir() if path.is_file())
    except OSError:
        return None
    layout = recognise(FolderTree(parent, [f"{name}/{path}" for path in tree.audio], beside))
    return layout if layout and layout.entries is None else None


def _corpus(layout: CorpusLayout, tree: FolderTree, source: Path, prefix: str = "") -> Corpus:
    """``prefix``: of a path below the tree as the layout wants to see it."""
    if layout.entries is not None:
        below = {str(tree.root / path) for path in tree.audio}
        unlisted = len(below.difference(str(entry.path) for entry in layout.entries))
        return Corpus(layout, tree.root, tuple(_seen_from(source, entry) for entry in layout.entries), unlisted)
    entries = tuple(
        AudioEntry(
            path=(file := tree.root / path),
            relative=file.relative_to(source).as_posix(),
            source=layout.source(file) if layout.source else tree.root.name,
            domain=layout.domain,
            group=layout.groups(prefix + path),
            recording=layout.recordings(prefix + path),
        )
        for path in tree.audio
    )
    return Corpus(layout, tree.root, entries, 0)


def _seen_from(source: Path, entry: AudioEntry) -> AudioEntry:
    relative = os.path.relpath(entry.path, source).replace(os.sep, "/")
    return replace(entry, relative=relative)
