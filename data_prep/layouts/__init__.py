"""Layouts of public corpora, which define the groups: speakers, recordings, songs.

Each module has the recognisers of one family. A recogniser reads the names below a folder (:class:`FolderTree`) and the
corpus' own tables, decodes nothing, and returns a :class:`CorpusLayout`, or None for any other folder.
"""

from data_prep.layouts import listed, music, sounds, speech
from data_prep.layouts.listed import describe_unused_tables
from data_prep.layouts.tree import CorpusLayout, FolderTree

__all__ = ["CorpusLayout", "FolderTree", "describe_unused_tables", "recognise"]

RECOGNISERS = (
    *listed.LISTED_LAYOUTS,
    *speech.SPEECH_CORPORA,
    *music.MUSIC_CORPORA,
    *sounds.SOUND_CORPORA,
)
"""In the order in which they are tried: lists of files come before corpora that are recognised by file names."""


def recognise(tree: FolderTree, *, tables: bool = True) -> CorpusLayout | None:
    """Recognise the layout of a folder.

    Args:
        tree: the folder and the names below it.
        tables: last of all, look for a table of the user's own, which may have any name.

    Returns:
        The layout; None if no recogniser knows it.

    Raises:
        UserError: a table of the corpus cannot be read.
    """
    recognisers = (*RECOGNISERS, listed.recognise_table) if tables else RECOGNISERS
    return next((layout for recogniser in recognisers if (layout := recogniser(tree))), None)
