"""Speech corpora: the group is the speaker, or the passage if there is only one speaker."""

import re
from dataclasses import replace
from pathlib import Path

from codec.batch.inputs import read_text
from data_prep.layouts.transcripts import read_libri_columns, speech_columns
from data_prep.layouts.tree import CorpusLayout, FolderTree, file_stem, recogniser_by_names
from data_prep.tables import read_csv

_COMMON_VOICE_TABLES = ("validated", "invalidated", "other", "train", "dev", "test")
_PASSAGE = re.compile(r"(LJ\d{3})-\d{4}")


def recognise_lj_speech(tree: FolderTree) -> CorpusLayout | None:
    """Recognise LJSpeech and corpora in its form: ``wavs/`` next to ``metadata.csv`` with bars and no header.

    There is one speaker. In LJSpeech itself the clips of a passage (LJ001, …) were read in one go and stay together
    (Ito and Johnson 2017).

    Args:
        tree: the folder and the names below it.

    Returns:
        The layout; None for any other folder.
    """
    if "metadata.csv" not in tree.names or not {"wavs", "wav"}.intersection(tree.folders):
        return None
    if "|" not in read_text(tree.root / "metadata.csv", "list").split("\n", 1)[0]:
        return None
    if any(_PASSAGE.fullmatch(file_stem(path)) for path in tree.audio):
        return CorpusLayout("LJSpeech", "wavs/ next to metadata.csv", "passage", "speech", groups=_passage)
    return CorpusLayout("LJSpeech form", "wavs/ next to metadata.csv with bars", "file (one speaker)", "speech")


def _passage(path: str) -> str:
    match = _PASSAGE.fullmatch(file_stem(path))
    return match[1] if match else ""


def recognise_common_voice(tree: FolderTree) -> CorpusLayout | None:
    """Recognise Mozilla Common Voice: ``clips/`` next to tables such as ``validated.tsv``, whose ``client_id`` is the
    speaker.

    Args:
        tree: the folder and the names below it.

    Returns:
        The layout; None for any other folder.
    """
    tables = [f"{name}.tsv" for name in _COMMON_VOICE_TABLES if f"{name}.tsv" in tree.names]
    if "clips" not in tree.folders or not tables:
        return None
    speakers: dict[str, str] = {}
    columns: dict[str, dict[str, str]] = {}
    for table in tables:
        for row in read_csv(tree.root / table):
            if row.get("client_id") and row.get("path"):
                # Older editions name clips without a suffix.
                stem = file_stem(row["path"])
                speakers.setdefault(stem, row["client_id"])
                columns.setdefault(stem, speech_columns(row))
    if not speakers:
        return None
    evidence = f"clips/ next to {tables[0]}"
    return CorpusLayout(
        "Common Voice",
        evidence,
        "speaker",
        "speech",
        groups=lambda path: speakers.get(file_stem(path), ""),
        columns=lambda path: columns.get(file_stem(path), {}),
    )


def _archive_and_subset(file: Path) -> str:
    """``LibriSpeech/dev-clean`` of ``LibriSpeech/dev-clean/SPEAKER/BOOK/FILE``, wherever the source begins."""
    return "/".join([folder for folder in file.parts[1:-3] if folder != "audio"][-2:])


_libri_names = recogniser_by_names(
    "LibriSpeech family",
    # speaker-book-utterance in a folder of the book: LibriSpeech has hyphens, LibriTTS and MLS underscores.
    r"(?:^|/)(?P<book>\d+)/(?P<group>\d+)[-_](?P=book)[-_]\d+(?:_\d+)?\.\w+$",
    evidence="files named SPEAKER-BOOK-NUMBER in folders of the book",
    grouping="speaker",
    domain="speech",
    source=_archive_and_subset,
)


def recognise_libri(tree: FolderTree) -> CorpusLayout | None:
    """Recognise LibriSpeech, with its transcripts, and corpora with such names.

    Args:
        tree: the folder and the names below it.

    Returns:
        The layout; None for any other folder.

    Raises:
        UserError: a transcript cannot be read.
    """
    layout = _libri_names(tree)
    if layout is None:
        return None
    columns = read_libri_columns(tree)
    return replace(layout, columns=lambda path: columns.get(file_stem(path), {}))


vctk = recogniser_by_names(
    "VCTK",
    r"(?:^|/)(?P<recording>(?P<group>p\d{3}|s5)_\d{3})(?:_mic[12])?\.\w+$",
    evidence="files named pNNN_MMM",
    grouping="speaker",
    domain="speech",
)
vox_celeb = recogniser_by_names(
    "VoxCeleb",
    r"(?:^|/)(?P<recording>(?P<group>id\d{5})[/-][\w-]{11})[/-]\d{5}\.\w+$",
    evidence="files named idNNNNN/VIDEO/NNNNN",
    grouping="speaker",
    domain="speech",
)
aishell = recogniser_by_names(
    "AISHELL",
    r"(?:^|/)BAC009(?P<group>S\d{4})W\d{4}\.\w+$",
    evidence="files named BAC009SNNNNWNNNN",
    grouping="speaker",
    domain="speech",
)
aishell3 = recogniser_by_names(
    "AISHELL-3",
    r"(?:^|/)(?P<group>SSB\d{4})\d{4}\.\w+$",
    evidence="files named SSBNNNNMMMM",
    grouping="speaker",
    domain="speech",
)
aishell2 = recogniser_by_names(
    "AISHELL-2",
    r"(?:^|/)I(?P<group>[CD]\d{4})W\d{4}\.\w+$",
    evidence="files named ICNNNNWMMMM",
    grouping="speaker",
    domain="speech",
)
speech_commands = recogniser_by_names(
    "Speech Commands",
    r"(?:^|/)(?P<group>[0-9a-f]{8})_nohash_\d+\.\w+$",
    evidence="files named SPEAKER_nohash_N",
    grouping="speaker, not the word that the folder names",
    domain="speech",
)
timit = recogniser_by_names(
    "TIMIT",
    r"(?i:(?:^|/)dr[1-8]/(?P<group>[fm][a-z]{2}[a-z0-9]\d)/(?:sa|si|sx)\d+(?:\.\w+)+$)",
    evidence="folders DR1 to DR8",
    grouping="speaker",
    domain="speech",
)

SPEECH_CORPORA = (
    recognise_lj_speech,
    recognise_common_voice,
    recognise_libri,
    vctk,
    vox_celeb,
    aishell,
    aishell2,
    aishell3,
    speech_commands,
    timit,
)
