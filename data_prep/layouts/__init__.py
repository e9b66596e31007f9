"""Recognise the layout of a corpus, so that what belongs together stays in one split.

Each module holds the recognisers of one family. A recogniser looks at the names below a folder (:class:`Tree`) and at
the corpus' own tables, decodes nothing, and returns a :class:`Layout`, or None where the folder is something else.
"""

from data_prep.layouts import listed, music, sounds, speech
from data_prep.layouts.tree import CorpusLayout, FolderTree

__all__ = ["Layout", "Tree", "recognise"]

RECOGNISERS = (*listed.LISTED_LAYOUTS, *speech.SPEECH_CORPORA, *music.MUSIC_CORPORA, *sounds.SOUND_CORPORA)
"""In order: lists that name their files come before corpora that are known by their names."""


def recognise(tree: FolderTree) -> CorpusLayout | None:
    """Return the layout of the folder itself, None where it has none that is known.

    Raises:
        UserError: a table of the corpus cannot be read.
    """
    return next((layout for recogniser in RECOGNISERS if (layout := recogniser(tree))), None)
