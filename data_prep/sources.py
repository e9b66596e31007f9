"""Find audio in sources of any layout: corpora, lists, plain folders, single files.

Nothing is decoded here. Corpora are recognised in the source itself, in the folders one and two levels below it, and,
if the source is a part of a corpus (its ``wavs/`` or ``clips/``), in the folder above.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from codec.audio.suffixes import AUDIO_SUFFIXES
from codec.dataset.columns import TEXT_COLUMNS, first_cell
from codec.errors import UserError
from codec.runtime.file_walk import list_folders
from data_prep.entries import ASSIGNABLE_DOMAINS, AudioEntry, domain_of
from data_prep.layouts import CorpusLayout, FolderTree, describe_unused_tables, recognise
from data_prep.layouts.listed import TRIED_ROWS
from data_prep.listing import Listing
from data_prep.lists import LIST_SUFFIXES, read_audio_list
from data_prep.store import Store
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
    unlisted: int
    """Number of audio files below the folder that are left out, since the corpus' own list does not name them."""
    first_unlisted: str
    """Path of the first of them; empty if there are none."""

    def advise_on_unlisted(self) -> str:
        """Say how files that the corpus' own list does not name can be used.

        Returns:
            The end of a line for the user.
        """
        return f"to use them, give {self.layout.lists[0]} and their folders as sources of their own"


@dataclass(frozen=True)
class Sources:
    """Content of the sources."""

    store: Store
    """Tables of the preparation, which hold the files."""
    entries: Listing
    """Every audio file once, sorted by path."""
    corpora: tuple[Corpus, ...]
    """Corpora that were recognised. Their places in this tuple are their numbers in the listing."""
    left_out: dict[str, int]
    """Number of files that are neither audio nor part of a recognised corpus by suffix, the most frequent first."""
    unlisted: tuple[str, ...]
    """Folders that could not be listed, each with the reason."""
    warnings: tuple[str, ...]
    """Lines about tables that look like lists and are not used."""


def find_audio(
    sources: Sequence[Path],
    domains: Sequence[str] = (),
    assigned: Sequence[tuple[str, str]] = (),
    *,
    plain: bool = False,
) -> Sources:
    """Find every audio file in the sources.

    Args:
        sources: folders, lists (see :mod:`data_prep.lists`) or single files.
        domains: use only files of these domains; empty: of all.
        assigned: domains and folders whose files have them, see :class:`data_prep.options.PrepareOptions`.
        plain: recognise no corpus, and treat all folders as plain folders.

    Returns:
        The files, and what was recognised and left out.

    Raises:
        UserError: a source does not exist or has no audio, a list cannot be read, a domain does not occur or is
            unknown, or there are no files in a folder that is assigned one.
    """
    for domain, _ in assigned:
        if domain not in ASSIGNABLE_DOMAINS:
            raise UserError(f"--as {domain}: no such domain; choose from {', '.join(ASSIGNABLE_DOMAINS)}")
    store = Store()
    search = _Search(store, plain)
    for source in sources:
        search.add(Path(os.path.abspath(source)))
    search.listing.settle()
    for domain, folder in assigned:
        path = Path(folder).expanduser()
        places = [Path(os.path.abspath(place)) for place in (path, *(source / path for source in sources))]
        if not search.listing.assign_domain(domain, places if folder else [Path("/")]):
            raise UserError(f"--as {domain}={folder}: {_explain_nothing_assigned(search.corpora, places)}")
    search.listing.keep_domains(domains)
    return Sources(
        store,
        search.listing,
        tuple(search.corpora),
        search.count_others(),
        tuple(search.unlisted),
        tuple(search.unused),
    )


def _explain_nothing_assigned(corpora: Sequence[Corpus], places: Sequence[Path]) -> str:
    for corpus in corpora:
        for place in places:
            if corpus.unlisted and place.exists() and place.is_relative_to(corpus.folder):
                table = corpus.layout.lists[0]
                return f"{table} does not name the files there, so they are left out; {corpus.advise_on_unlisted()}"
    return "no source has audio files there; give a folder in a source"


class _Search:
    """Search of all sources."""

    def __init__(self, store: Store, plain: bool) -> None:
        self._store, self._plain = store, plain
        self.listing = Listing(store)
        self.corpora: list[Corpus] = []
        self.unlisted: dict[str, None] = {}
        self.unused: list[str] = []
        store.create("others", {"path": str, "suffix": str}, key=["path"])

    def add(self, source: Path) -> None:
        """Add one source."""
        if not source.exists():
            raise UserError(f"{source}: there is no such folder or file")
        if source.is_dir():
            self._add_folder(source)
        elif source.suffix.lower() in LIST_SUFFIXES:
            self.listing.add(read_audio_list(source), source)
        else:
            entry = AudioEntry(source, source.name, source.parent.name, domain_of(source.parent))
            self.listing.add([entry], source)

    def count_others(self) -> dict[str, int]:
        """Count the files that are no audio by suffix; of equal counts, the suffix of the first file comes first."""
        by_parts = "replace(path, '/', char(1))"
        order = f"ORDER BY count(*) DESC, min({by_parts})"
        return dict(self._store.query(f"SELECT suffix, count(*) FROM others GROUP BY suffix {order}"))

    def _add_folder(self, source: Path) -> None:
        tree = self._walk(source)
        found = [] if self._plain else list(_find_corpora(tree))
        for corpus in found:
            self._add_corpus(source, *corpus)
        claimed = [f"{folder.root.relative_to(source).as_posix()}/" for folder, _, _ in found]
        prefixes = tuple("" if prefix == "./" else prefix for prefix in claimed)
        rest = [path for path in tree.audio if not path.startswith(prefixes)]
        if not found and not rest:
            if not any(source.iterdir()):
                raise UserError(f"{source}: the folder is empty")
            raise UserError(
                f"{source}: there are no audio files in this folder (.wav .flac .mp3 .opus .m4a and the like)"
            )
        self.listing.add((_plain_entry(source, path) for path in rest), source)
        if not self._plain and not found:
            self.unused += [*describe_unused_tables(tree), *_describe_list_above(tree)]
        others = (source / path for path in tree.others if not path.startswith(prefixes))
        self._store.add("others", ((str(path), path.suffix.lower()) for path in others))

    def _walk(self, source: Path) -> FolderTree:
        """List the files below a folder. Of each, its name is all that is held in memory."""
        audio: list[str] = []
        others: list[str] = []
        unlisted: dict[Path, str] = {}
        for folder, names in list_folders([source], unlisted):
            relative = os.path.relpath(folder, source).replace(os.sep, "/")
            prefix = "" if relative == "." else f"{relative}/"
            for name in names:
                is_audio = os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES
                (audio if is_audio else others).append(prefix + name)
        self.unlisted |= dict.fromkeys(f"{folder} ({reason})" for folder, reason in unlisted.items())
        return FolderTree(source, sorted(audio), sorted(others))

    def _add_corpus(self, source: Path, tree: FolderTree, layout: CorpusLayout, prefix: str) -> None:
        number, unlisted = len(self.corpora), (0, "")
        for path in layout.lists:
            self.listing.add((_relative_to_source(source, entry) for entry in read_audio_list(path)), path, number)
        if layout.lists:
            unlisted = self.listing.find_missing((str(tree.root / path) for path in tree.audio), number)
        else:
            self.listing.add(_entries_of_corpus(source, tree, layout, prefix), tree.root, number)
        self.corpora.append(Corpus(layout, tree.root, *unlisted))


def _plain_entry(source: Path, path: str) -> AudioEntry:
    file = source / path
    return AudioEntry(file, path, source.name, domain_of(file.parent), plain=True)


_Found = tuple[FolderTree, CorpusLayout, str]
"""Folder and layout of a corpus, and the beginning of the paths of its files in the layout."""


def _find_corpora(tree: FolderTree) -> Iterator[_Found]:
    """Yield the corpora in a source; none lies within another."""
    found = list(_search(tree, tree.root, _DEPTH))
    above = None if found else _parent(tree)
    if above and (layout := recognise(above, tables=False)) and not layout.lists:
        found = [(tree, layout, f"{tree.root.name}/")]
    yield from found


def _search(tree: FolderTree, source: Path, depth: int) -> Iterator[_Found]:
    if tree.root != source and _PREPARED <= tree.names:
        return
    if layout := recognise(tree):
        yield tree, layout, ""
    elif depth and len(tree.folders) <= _MOST_FOLDERS:
        for name in tree.folders:
            yield from _search(tree.below(name), source, depth - 1)


def _parent(tree: FolderTree) -> FolderTree | None:
    """Return the folder above, with the files of this folder and its own; None if there is nothing to recognise."""
    parent, name = tree.root.parent, tree.root.name
    try:
        siblings = sorted(path.name for path in parent.iterdir() if path.is_file())
    except OSError:
        return None
    audio, others = ([f"{name}/{path}" for path in paths] for paths in (tree.audio, tree.others))
    return None if _PREPARED <= set(siblings) else FolderTree(parent, audio, sorted([*siblings, *others]))


def _describe_list_above(tree: FolderTree) -> list[str]:
    """Describe a list in the folder above that names files of a source, but is not used, since it is not in it."""
    above = _parent(tree)
    try:
        layout = recognise(above) if above else None
        for path in layout.lists if layout else ():
            if any(tree.root in entry.path.parents for entry in islice(read_audio_list(path), TRIED_ROWS)):
                line = f"{path} names files of {tree.root}, and is not used, since it is above that"
                return [f"{line}; give it as the source"]
    except UserError:  # what cannot be read there does not concern this source
        pass
    return []


def _entries_of_corpus(source: Path, tree: FolderTree, layout: CorpusLayout, prefix: str) -> Iterable[AudioEntry]:
    for path in tree.audio:
        file, columns = tree.root / path, dict(layout.columns(prefix + path))
        yield AudioEntry(
            path=file,
            relative=file.relative_to(source).as_posix(),
            source=layout.source(file) if layout.source else tree.root.name,
            domain=layout.domain,
            group=layout.groups(prefix + path),
            recording=layout.recordings(prefix + path),
            text=one_line(first_cell(columns, TEXT_COLUMNS)),
            fields=columns,
        )


def _relative_to_source(source: Path, entry: AudioEntry) -> AudioEntry:
    relative = os.path.relpath(entry.path, source).replace(os.sep, "/")
    return replace(entry, relative=relative)
