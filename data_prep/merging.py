"""Several rows about the same file, of one list or of several, become one entry, or contradict each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from codec.dataset.columns import GROUP_COLUMNS
from data_prep.entries import AudioEntry

GROUP = "the group"
"""Name under which contradictions about the group are kept; no column has it."""
DOMAIN = "domain"


@dataclass(frozen=True, slots=True)
class FoundRow:
    """A row of a list about a file, or the file as a folder or corpus has it."""

    entry: AudioEntry
    list: int
    """Number of the list, folder or corpus."""
    number: int
    """Number of the row in it, from 1 on."""
    corpus: int
    """Number of the corpus."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Two rows about the same file that state something different."""

    column: str
    """Column of the lists, or :data:`GROUP`."""
    first: FoundRow
    second: FoundRow

    @property
    def is_contradiction(self) -> bool:
        """True unless one of the rows is about a part of the file, where a part may differ from another."""
        return self.column == DOMAIN or not (self.first.entry.part or self.second.entry.part)


@dataclass(frozen=True, slots=True)
class MergedFile:
    """What all rows about a file state together."""

    row: FoundRow
    """The entry of the file, with the list and corpus that it belongs to."""
    disagreements: tuple[Disagreement, ...]
    groups: tuple[str, ...]
    """All groups of the file: several speakers of a conversation, of which lists name the parts."""


def merge_rows(rows: Sequence[FoundRow]) -> MergedFile:
    """Make one entry of all rows about a file.

    Cells that one row has and another leaves empty are complete together. What rows state differently is unknown of the
    file: a file with several groups is a group of its own.

    Args:
        rows: the rows, in the order in which the sources were given.

    Returns:
        The entry, and where the rows disagree.

    >>> from pathlib import Path
    >>> def row(number: int, **known: str) -> FoundRow:
    ...     return FoundRow(AudioEntry(Path("/a.wav"), "a.wav", "corpus", "speech", **known), 1, number, -1)
    >>> merge_rows([row(1, text="yes"), row(2, group="ann", text="yes")]).row.entry.group
    'ann'
    >>> merged = merge_rows([row(1, group="ann", text="x"), row(2, group="ben", text="y")])
    >>> merged.row.entry.group, merged.row.entry.text, [found.column for found in merged.disagreements]
    ('a.wav', '', ['the group'])
    """
    # The list that knows most about the file comes before a folder, which has only its path.
    best = min(rows, key=lambda row: (row.entry.plain, not row.entry.fields))
    groups = _distinct(rows, lambda entry: entry.group)
    columns = dict.fromkeys(column for row in rows for column in row.entry.fields)
    cells = {column: _distinct(rows, partial(_cell, column)) for column in columns}
    found = [_disagreement(column, list(values.values())) for column, values in ((GROUP, groups), *cells.items())]
    recording = next(filter(None, (row.entry.recording for row in rows)), "")
    relative = rows[0].entry.relative
    entry = replace(
        best.entry,
        relative=relative,
        domain=next(iter(cells.get(DOMAIN, ())), best.entry.domain),
        group=next(iter(groups), "") if len(groups) < 2 else recording or relative,
        recording=recording,
        plain=not groups and all(row.entry.plain for row in rows),
        part=False,
        text=_merge_texts(rows),
        fields={column: next(iter(values)) for column, values in cells.items() if len(values) == 1},
    )
    corpus = max(rows[0].corpus, best.corpus)
    merged = FoundRow(entry, best.list, best.number, corpus)
    return MergedFile(merged, tuple(filter(None, found)), tuple(groups))


def _cell(column: str, entry: AudioEntry) -> str:
    return entry.fields.get(column, "")


def _distinct(rows: Sequence[FoundRow], value: Callable[[AudioEntry], str]) -> dict[str, FoundRow]:
    """Return the different values that are not empty, each with a row that has it: one about the whole file if there
    is one.
    """
    found: dict[str, FoundRow] = {}
    for row in rows:
        if (text := value(row.entry).strip()) and (
            text not in found or (found[text].entry.part and not row.entry.part)
        ):
            found[text] = row
    return found


def _disagreement(column: str, rows: Sequence[FoundRow]) -> Disagreement | None:
    whole = [row for row in rows if not row.entry.part]
    first, second, *_ = *(whole if len(whole) > 1 else rows), None, None
    return Disagreement(column, first, second) if first and second else None


def _merge_texts(rows: Sequence[FoundRow]) -> str:
    """Return the words of a file: empty if a list has several texts or durations of it, or two lists differ."""
    texts: set[str] = set()
    for number in dict.fromkeys(row.list for row in rows):
        entries = [row.entry for row in rows if row.list == number]
        if len({(entry.text, entry.fields.get("duration")) for entry in entries}) > 1:
            return ""
        texts.add(entries[0].text)
    texts.discard("")
    return texts.pop() if len(texts) == 1 else ""


def describe_value(row: FoundRow, column: str) -> str:
    """Describe what a row states.

    Args:
        row: the row.
        column: column of the lists, or :data:`GROUP`.

    Returns:
        Name of the column and value.
    """
    if column == GROUP:
        column = next((name for name in GROUP_COLUMNS if row.entry.fields.get(name)), "group")
        return f"{column} {row.entry.group}"
    return f"{column} {row.entry.fields[column].strip()}"
