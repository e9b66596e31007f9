"""Titles and other tags of audio files."""

from collections.abc import Mapping
from pathlib import Path

import av
import soundfile

from codec.audio.identity import Identity
from codec.audio.views import FileView

TAGS = ("title", "artist", "album", "tracknumber", "genre", "date", "comment", "copyright", "license")
"""What is read of a file's tags, and written."""

DECODER = "Lathe decoder"
"""What decoded files name as their software: these may be replaced, and no other file is taken for one."""

_FFMPEG_NAMES = {"track": "tracknumber", "encoder": "software"}


def read_tags(path: Path, identity: Identity) -> dict[str, str]:
    """Return the tags of a file, and under ``software`` what wrote it.

    Args:
        path: the file.
        identity: what it is.
    """
    if identity.back_end == "libsndfile":
        view = FileView(path.open("rb"), identity.start, identity.end, identity.replaced)
        try:
            with soundfile.SoundFile(view) as file:
                return _known(file.copy_metadata())
        except soundfile.LibsndfileError:
            return {}
        finally:
            view.close()
    try:
        with (
            path.open("rb") as file,
            av.open(file, format=identity.demuxer or None, metadata_errors="replace") as found,
        ):
            return _known({**found.metadata, **(found.streams.audio[0].metadata if found.streams.audio else {})})
    except av.error.FFmpegError:
        return {}


def _known(metadata: Mapping[str, str]) -> dict[str, str]:
    named = {_FFMPEG_NAMES.get(name.lower(), name.lower()): text for name, text in metadata.items()}
    return {name: named[name] for name in (*TAGS, "software") if named.get(name)}
