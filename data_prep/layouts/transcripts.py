"""Transcripts of corpora: the words that are spoken in a file, and their language, by the names of columns of lists."""

from collections.abc import Iterable

from codec.batch.inputs import read_text
from codec.dataset.columns import LANGUAGE_COLUMNS, TEXT_COLUMNS, first_cell
from data_prep.layouts.tree import FolderTree
from data_prep.tables import TableRow

_LIBRI_SUFFIX = ".trans.txt"


def read_libri_columns(tree: FolderTree) -> dict[str, dict[str, str]]:
    """Read the transcripts of LibriSpeech: ``SPEAKER-BOOK.trans.txt`` in the folder of a book, lines of name and words.

    Args:
        tree: folder of the corpus.

    Returns:
        Name of a file without suffix to its columns.

    Raises:
        UserError: a transcript cannot be read.
    """
    found = {}
    for path in tree.others:
        if path.endswith(_LIBRI_SUFFIX):
            for line in read_text(tree.root / path, "list").splitlines():
                name, _, words = line.partition(" ")
                found[name] = {"text": words.strip()}
    return found


def speech_columns(row: TableRow) -> dict[str, str]:
    """Return the columns of a row that say what is spoken.

    Args:
        row: row of a table of a corpus, such as Common Voice's ``validated.tsv``.

    Returns:
        Text and language, without those that the row does not have.
    """
    columns: Iterable[tuple[str, str]] = (
        ("text", first_cell(row, TEXT_COLUMNS)),
        ("language", first_cell(row, LANGUAGE_COLUMNS)),
    )
    return {name: value for name, value in columns if value}
