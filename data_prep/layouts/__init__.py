"""Layouts of public corpora, which define the groups: speakers, recordings, songs.

Each module has the recognisers of one family. A recogniser reads the names below a folder (:class:`FolderTree`) and the
corpus' own tables, decodes nothing, and returns a :class:`CorpusLayout`, or None for any other folder.
"""

from data_prep.layouts import listed, music, sounds, speech
from data_prep.layouts.tree import CorpusLayout, FolderTree

__all__ = ["Layout", "Tree", "recognise"]

RECOGNISERS = (
    *listed.LISTED_LAYOUTS,
    *speech.SPEECH_CORPORA,
    *music.MUSIC_CORPORA,
    *sounds.SOUND_CORPORA,
    listed.recognise_table,
)
"""In the order in which they are tried: lists of files come before corpora that are recognised by file names, and a
table of the user's own, which may have any name, comes last."""


def recognise(tree: FolderTree) -> CorpusLayout | None:
    """Recognise the layout of a folder.

    Args:
        tree: the folder and the names below it.

    Returns:
        The layout; None if no recogniser knows it.

    Raises:
        UserError: a table of the corpus cannot be read.
    """
    return next((layout for recogniser in RECOGNISERS if (layout := recogniser(tree))), None)
