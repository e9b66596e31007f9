"""Names of columns and fields that describe a clip, in users' lists and in the samples of shards."""

from collections.abc import Collection, Mapping

GROUP_COLUMNS = ("group", "speaker", "speaker_id", "client_id", "spk", "spk_id", "speaker_name")
"""Names of the column with the group; Common Voice has client_id."""
LICENCE_COLUMNS = ("licence", "license")
"""Names of the column with the licence."""
LANGUAGE_COLUMNS = ("language", "lang", "locale")
"""Names of the column with the language; NeMo has lang, Common Voice locale."""
TEXT_COLUMNS = ("text", "sentence", "transcription", "transcript")
"""Names of the column with the words that are spoken; NeMo has text, Common Voice sentence."""


def first_cell(row: Mapping[str, str], names: Collection[str]) -> str:
    """Return the first cell that is not empty.

    Args:
        row: row of a table.
        names: names of the columns, in their order of precedence.

    Returns:
        The cell without spaces around it; empty if there is none.
    """
    return next((row[name].strip() for name in names if row.get(name, "").strip()), "")
