"""Tags of audio files, such as title and artist.

tinytag reads ID3 (also in WAV and AIFF), RIFF INFO, Vorbis comments, MP4 atoms and ASF, with all values of a tag.
FFmpeg reads the others, and text that is not UTF-8. A tag with several values is one text here, with :data:`SEPARATOR`
between the values as in ID3v2.4.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from codec.audio.apev2_tags import read_apev2_tags
from codec.audio.file_format import FileFormat
from codec.audio.file_view import FileView
from codec.audio.tag_encoding import REPLACEMENT_CHARACTER, repair_text
from codec.runtime.extras import installed

TAGS = ("title", "artist", "album", "tracknumber", "genre", "date", "comment", "copyright", "license")
"""Names of the tags that every format can hold. Others keep the names that they have in the source, in lower case."""

DECODER = "Lathe decoder"
"""Software that decoded files name in their tags. Only files with this tag may be overwritten by decoding again."""

SEPARATOR = "\0"
"""Separator between the values of a tag that has several."""

_SOFTWARE, _TRACKS = "software", "track_total"
_NAMES = {
    "track": "tracknumber", "year": "date", "encoder": _SOFTWARE, "isft": _SOFTWARE, "tracktotal": _TRACKS,
    "totaltracks": _TRACKS,
}  # fmt: skip
_TECHNICAL = {
    "major_brand", "minor_version", "compatible_brands", "creation_time", "handler_name", "vendor_id", "language",
    "duration", "encoded_by", "encoder_settings", "itunsmpb", "itunnorm", "itunpgap", "itunes_cddb_1", "timecode",
    "number_of_bytes", "number_of_frames", "bps", "_statistics_tags", "_statistics_writing_app",
    "_statistics_writing_date_utc", "metadata_block_picture", "waveformatextensible_channel_mask",
}  # fmt: skip
"""What containers and encoders state under the names of tags."""
_Values = dict[str, list[str]]


@dataclass(frozen=True)
class FileTags:
    """The tags of a file."""

    texts: dict[str, str] = field(default_factory=dict)
    """Texts by name, those in :data:`TAGS` first."""
    decoded: bool = False
    """Whether the file was written by :data:`DECODER`."""
    pictures: int = 0
    """Number of pictures."""


def split_values(text: str) -> list[str]:
    """Split a tag into its values; the inverse of :func:`join_values`.

    Args:
        text: text of the tag

    Returns:
        One value or more.
    """
    return text.split(SEPARATOR)


def join_values(values: Iterable[str]) -> str:
    r"""Join values to one tag.

    Args:
        values: the values, each of which may be the text of a tag with several

    Returns:
        A text that holds each value once, in order, without those that are blank.

    >>> join_values(["Ann", "Bob", "Ann"])
    'Ann\x00Bob'
    """
    parts = (part for value in values for part in value.split(SEPARATOR))
    return SEPARATOR.join(dict.fromkeys(part for part in parts if part.strip()))


def read_tags(path: Path, file_format: FileFormat) -> FileTags:
    """Read the tags of a file. Tags that cannot be read are left out, without an error.

    Args:
        path: the file
        file_format: its detected format

    Returns:
        Its tags.
    """
    if file_format.untagged:
        return FileTags()
    found, pictures = _by_tinytag(path)
    if file_format.back_end == "MPEG":
        ape, ape_pictures = read_apev2_tags(path)
        found, pictures = _known(ape) | found, pictures + ape_pictures
    if not found or any(REPLACEMENT_CHARACTER in value for values in found.values() for value in values):
        other = _by_ffmpeg(path, file_format) or _by_libsndfile(path, file_format)
        whole = {name: values for name, values in found.items() if REPLACEMENT_CHARACTER not in "".join(values)}
        found = found | other | whole
    names = [name for name in (*TAGS, *found) if name in found and name not in (_SOFTWARE, _TRACKS)]
    texts = {name: join_values(map(repair_text, found[name])) for name in names}
    if total := found.get(_TRACKS):
        texts["tracknumber"] = f"{texts.get('tracknumber', '')}/{total[0]}"
    kept = {name: text for name, text in texts.items() if text}
    return FileTags(kept, any(text.startswith(DECODER) for text in found.get(_SOFTWARE, [])), pictures)


def _known(metadata: Mapping[str, Iterable[str]]) -> _Values:
    """Return the values of the tags, by their names here."""
    found: _Values = {}
    for name, values in metadata.items():
        name = name.lower()
        if name[1:] in TAGS:  # tinytag marks text frames of ID3 with the names of other frames by an underscore
            name = name[1:]
        name = _NAMES.get(name, name)
        if name not in _TECHNICAL and "=" not in name and SEPARATOR not in name and name.strip():
            found.setdefault(name, []).extend(str(value) for value in values)
    return found


def _by_tinytag(path: Path) -> tuple[_Values, int]:
    import tinytag

    try:
        tag = tinytag.TinyTag.get(path, duration=False, image=True)
    except (tinytag.TinyTagException, OSError, MemoryError, RecursionError):
        return {}, 0
    metadata = {name: values for name, values in tag.as_dict().items() if isinstance(values, list)}
    return _known(metadata), sum(len(pictures) for pictures in tag.images.as_dict().values())


def _by_ffmpeg(path: Path, file_format: FileFormat) -> _Values:
    """Return one value for each tag; bytes that are not UTF-8 become surrogates."""
    if not installed("av"):  # a machine without network may lack it, whose audio needs no FFmpeg
        return {}
    import av

    try:
        with (
            path.open("rb") as file,
            av.open(
                FileView(file, 0, path.stat().st_size),
                format=file_format.demuxer or None,
                metadata_errors="surrogateescape",
            ) as found,
        ):
            metadata = {**found.metadata, **(found.streams.audio[0].metadata if found.streams.audio else {})}
            return _known({name: [text] for name, text in metadata.items()})
    except (av.error.FFmpegError, OSError):
        return {}


def _by_libsndfile(path: Path, file_format: FileFormat) -> _Values:
    if file_format.back_end != "libsndfile":  # it would print warnings about MPEG audio
        return {}
    import soundfile

    view = FileView(path.open("rb"), file_format.start, file_format.end, file_format.patches)
    try:
        with soundfile.SoundFile(view) as file:
            return _known({name: [text] for name, text in file.copy_metadata().items()})
    except soundfile.LibsndfileError:
        return {}
    finally:
        view.close()
