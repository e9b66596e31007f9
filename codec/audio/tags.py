"""Titles and other tags of audio files.

tinytag reads ID3 (also in WAV and AIFF), RIFF INFO, Vorbis comments, MP4 atoms and ASF, with all values of a name;
FFmpeg the rest, and bytes that are not UTF-8. A name with several values is one text here, with :data:`SEPARATOR`
between the values, as ID3v2.4 has it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from codec.audio.apev2_tags import read_apev2
from codec.audio.file_format import FileFormat
from codec.audio.file_view import FileView
from codec.audio.tag_encoding import REPLACED, repaired

TAGS = ("title", "artist", "album", "tracknumber", "genre", "date", "comment", "copyright", "license")
"""What is read of a file's tags, and written."""

DECODER = "Lathe decoder"
"""What decoded files name as their software: these may be replaced, and no other file is taken for one."""

SEPARATOR = "\0"
"""Between the values of a name that has several."""

_SOFTWARE = "software"
_NAMES = {
    "track": "tracknumber", "year": "date", "encoder": _SOFTWARE, "isft": _SOFTWARE, "tracktotal": "track_total",
    "totaltracks": "track_total",
}  # fmt: skip
_Values = dict[str, list[str]]


@dataclass(frozen=True)
class FileTags:
    """The tags of a file.

    Args:
        texts: by the names in :data:`TAGS`.
        decoded: whether the program that wrote the file was :data:`DECODER`.
        pictures: their number.
    """

    texts: dict[str, str] = field(default_factory=dict)
    decoded: bool = False
    pictures: int = 0


def split_values(text: str) -> list[str]:
    """Return the values that one tag holds."""
    return text.split(SEPARATOR)


def join_values(values: Iterable[str]) -> str:
    """Return one tag that holds these values, each once; inverse of :func:`split_values`."""
    parts = (part for value in values for part in value.split(SEPARATOR))
    return SEPARATOR.join(dict.fromkeys(part for part in parts if part.strip()))


def read_tags(path: Path, file_format: FileFormat) -> FileTags:
    """Read the tags of a file. What cannot be read of them is left out; they are no reason to refuse a file.

    Args:
        path: the file.
        file_format: what it is.
    """
    found, pictures = _by_tinytag(path)
    if file_format.back_end == "MPEG":
        ape, ape_pictures = read_apev2(path)
        found, pictures = _known(ape) | found, pictures + ape_pictures
    if not found or any(REPLACED in value for values in found.values() for value in values):
        other = _by_ffmpeg(path, file_format) or _by_libsndfile(path, file_format)
        whole = {name: values for name, values in found.items() if REPLACED not in "".join(values)}
        found = found | other | whole
    texts = {name: join_values(map(repaired, found[name])) for name in TAGS if name in found}
    if total := found.get("track_total"):
        texts["tracknumber"] = f"{texts.get('tracknumber', '')}/{total[0]}"
    kept = {name: text for name, text in texts.items() if text}
    return FileTags(kept, any(text.startswith(DECODER) for text in found.get(_SOFTWARE, [])), pictures)


def _known(metadata: Mapping[str, Iterable[str]]) -> _Values:
    """The values of the names that are used, by these names."""
    found: _Values = {}
    for name, values in metadata.items():
        name = _NAMES.get(name.lower(), name.lower())
        if name in (*TAGS, _SOFTWARE, "track_total"):
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
    """One value each; bytes that are not UTF-8 are surrogates."""
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
    if file_format.back_end != "libsndfile":  # which would write notes about MPEG audio to the terminal
        return {}
    import soundfile

    view = FileView(path.open("rb"), file_format.start, file_format.end, file_format.replaced)
    try:
        with soundfile.SoundFile(view) as file:
            return _known({name: [text] for name, text in file.copy_metadata().items()})
    except soundfile.LibsndfileError:
        return {}
    finally:
        view.close()
