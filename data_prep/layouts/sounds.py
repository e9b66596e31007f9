"""Corpora of general audio, mostly from Freesound: clips of one recording form a group."""

import json
from functools import partial

from codec.batch.inputs import read_text
from codec.errors import UserError
from data_prep.layouts.tree import CorpusLayout, FolderTree, file_stem, recogniser_by_names

_FSD_FOLDERS = ("FSD50K.dev_audio", "FSD50K.eval_audio", "dev_audio", "eval_audio")

esc = recogniser_by_names(
    "ESC-50",
    # {fold}-{Freesound clip}-{take}-{class}, as the data set's description has it (Piczak 2015).
    r"(?:^|/)[1-5]-(?P<recording>(?P<group>\d+))-[A-Z]-\d+\.\w+$",
    evidence="files named FOLD-CLIP-TAKE-CLASS",
    grouping="original recording",
    domain="general",
    prefix="freesound/",
)
urban_sound = recogniser_by_names(
    "UrbanSound8K",
    # {Freesound clip}-{class}-{occurrence}-{slice} (Salamon et al. 2014).
    r"(?:^|/)fold\d+/(?P<recording>(?P<group>\d+))-\d-\d+-\d+\.\w+$",
    evidence="files named CLIP-CLASS-OCCURRENCE-SLICE in folders foldN",
    grouping="original recording",
    domain="general",
    prefix="freesound/",
)


def recognise_fsd50k(tree: FolderTree) -> CorpusLayout | None:
    """Recognise FSD50K: clips with their Freesound numbers; the group is the uploader if FSD50K.metadata is there.

    Clips of one uploader sound similar, so the authors keep them in one split (Fonseca et al. 2022).

    Args:
        tree: the folder and the names below it.

    Returns:
        The layout; None for any other folder.
    """
    clips = [path for path in tree.audio if path.partition("/")[0] in _FSD_FOLDERS]
    if not clips or len(clips) < len(tree.audio) or not all(file_stem(path).isdecimal() for path in clips):
        return None
    uploaders: dict[str, str] = {}
    for part in ("dev", "eval"):
        table = f"FSD50K.metadata/{part}_clips_info_FSD50K.json"
        if table in tree.others:
            uploaders.update(_uploaders(tree, table))
    evidence = f"clips in {clips[0].partition('/')[0]}/"
    if not uploaders:
        return CorpusLayout("FSD50K", evidence, "recording (FSD50K.metadata/ is not there)", "general", groups=_clip)
    return CorpusLayout("FSD50K", evidence, "uploader", "general", partial(_uploader_or_clip, uploaders))


def _clip(path: str) -> str:
    return f"freesound/{file_stem(path)}"


def _uploader_or_clip(uploaders: dict[str, str], path: str) -> str:
    uploader = uploaders.get(file_stem(path))
    return f"freesound user {uploader}" if uploader else _clip(path)


def _uploaders(tree: FolderTree, table: str) -> dict[str, str]:
    try:
        clips = json.loads(read_text(tree.root / table, "list"))
        return {name: str(clip["uploader"]) for name, clip in clips.items()}
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{tree.root / table}: this is not FSD50K's table of clips ({error!r})") from error


SOUND_CORPORA = (esc, urban_sound, recognise_fsd50k)
