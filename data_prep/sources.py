"""Find audio in sources of any layout: corpora, lists, plain folders, single files.

Nothing is decoded here. Corpora are recognised in the source itself, in the folders one and two levels below it, and,
if the source is a part of a corpus (its ``wavs/`` or ``clips/``), in the folder above.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from codec.audio.suffixes import AUDIO_SUFFIXES
from codec.dataset.columns import TEXT_COLUMNS, first_cell
from codec.errors import UserError
from codec.runtime.file_walk import find_files
from data_prep.entries import AudioEntry, domain_of
from data_prep.layouts import CorpusLayout, FolderTree, recognise
from data_prep.lists import LIST_SUFFIXES, read_audio_list
from data_prep.tables import one_line

_DEPTH = 2
_PREPARED = {"manifest.csv", "inventory.jsonl"}
"""Files of a folder that ``codec prepare`` wrote. Within a source, its manifest is not taken for a corpus."""
_MOST_FOLDERS = 64
"""A folder with more subfolders is no collection of corpora, and its subfolders are not searched for corpora."""


@dataclass(frozen=True)
class Corpus:
    """A corpus that was recognised in a folder."""

    layout: CorpusLayout
    folder: Path
    entries: tuple[AudioEntry, ...]
    """Its files."""
    unlisted: int
    """Number of audio files below the folder that are left out, since the corpus' own list does not name them."""


@dataclass(frozen=True)
class Sources:
    """Content of the sources."""

    entries: tuple[AudioEntry, ...]
    """Every audio file once, sorted by path."""
    corpora: tuple[Corpus, ...]
    """Corpora that were recognised."""
    others: tuple[Path, ...]
    """Files that are neither audio nor part of a recognised corpus."""
    unlisted: tuple[str, ...]
    """Folders that could not be listed, each with the reason."""


def find_audio(sources: Sequence[Path], domains: Sequence[str] = (), *, plain: bool = False) -> Sources:
    """Find every audio file in the sources.

    Args:
        sources: folders, lists (see :mod:`data_prep.lists`) or single files.
        domains: use only files of these domains; empty: of all.
        plain: recognise no corpus, and treat all folders as plain folders.

    Returns:
        The files, and what was recognised and left out.

    Raises:
        UserError: a source does not exist or has no audio, a list cannot be read, or a domain does not occur.
    """
    found: dict[Path, AudioEntry] = {}
    corpora: list[Corpus] = []
    others: dict[Path, None] = {}
    unlisted: dict[str, None] = {}
    for source in sources:
        content = _find_in(Path(os.path.abspath(source)), plain)
        for entry in content.entries:
            found.setdefault(entry.path, entry)
        corpora += content.corpora
        others.update(dict.fromkeys(content.others))
        unlisted.update(dict.fromkeys(content.unlisted))
    entries = [found[path] for path in sorted(found, key=str)]
    if domains:
        present = sorted({entry.domain for entry in entries})
        for name in domains:
            if name not in present:
                raise UserError(f"there is no audio of the domain {name!r}; the sources have {', '.join(present)}")
        entries = [entry for entry in entries if entry.domain in domains]
    return Sources(tuple(entries), tuple(corpora), tuple(others), tuple(unlisted))


def _find_in(source: Path, plain: bool) -> Sources:
    """Return the content of one source."""
    if not source.exists():
        raise UserError(f"{source}: there is no such folder or file")
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
    entries += [_plain_entry(source, path) for path in tree.audio if not path.startswith(prefixes)]
    if not entries:
        if not any(source.iterdir()):
            raise UserError(f"{source}: the folder is empty")
        raise UserError(f"{source}: there are no audio files in this folder (.wav .flac .mp3 .opus .m4a and the like)")
    rest = (source / path for path in tree.others if not path.startswith(prefixes))
    unlisted = (f"{folder} ({reason})" for folder, reason in walked.unlisted.items())
    return Sources(tuple(entries), tuple(corpora), tuple(rest), tuple(unlisted))


def _plain_entry(source: Path, path: str) -> AudioEntry:
    file = source / path
    return AudioEntry(file, path, source.name, domain_of(file.parent), plain=True)


def _corpora(tree: FolderTree, source: Path) -> Iterator[Corpus]:
    """Yield the corpora in a source; none lies within another."""
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
    """Return the layout of a corpus that the tree is one folder of, or None."""
    parent, name = tree.root.parent, tree.root.name
    try:
        siblings = sorted(path.name for path in parent.iterdir() if path.is_file())
    except OSError:
        return None
    audio, others = ([f"{name}/{path}" for path in paths] for paths in (tree.audio, tree.others))
    layout = recognise(FolderTree(parent, audio, sorted([*siblings, *others])))
    return layout if layout and layout.entries is None else None


def _corpus(layout: CorpusLayout, tree: FolderTree, source: Path, prefix: str = "") -> Corpus:
    """Return the corpus in a tree. ``prefix`` is the beginning of the paths of its files in the layout."""
    if layout.entries is not None:
        below = {str(tree.root / path) for path in tree.audio}
        unlisted = len(below.difference(str(entry.path) for entry in layout.entries))
        return Corpus(
            layout, tree.root, tuple(_relative_to_source(source, entry) for entry in layout.entries), unlisted
        )
    entries = tuple(
        AudioEntry(
            path=(file := tree.root / path),
            relative=file.relative_to(source).as_posix(),
            source=layout.source(file) if layout.source else tree.root.name,
            domain=layout.domain,
            group=layout.groups(prefix + path),
            recording=layout.recordings(prefix + path),
            text=one_line(first_cell(fields := dict(layout.columns(prefix + path)), TEXT_COLUMNS)),
            fields=fields,
        )
        for path in tree.audio
    )
    return Corpus(layout, tree.root, entries, 0)


def _relative_to_source(source: Path, entry: AudioEntry) -> AudioEntry:
    relative = os.path.relpath(entry.path, source).replace(os.sep, "/")
    return replace(entry, relative=relative)
