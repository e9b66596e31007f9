"""Replace the tags and pictures of a ``.nac`` file; its packets stay byte for byte; docs/bitstream.md."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from codec.audio.pictures import Picture
from codec.bitstream.file_start import FileStart, metadata_blocks, read_start, start_bytes
from codec.bitstream.framing import frame_packet
from codec.bitstream.header import FORMAT_VERSION
from codec.bitstream.reader import PacketReader
from codec.errors import UserError
from codec.runtime.atomic_files import replacing


def replace_metadata(path: Path, tags: Mapping[str, str], pictures: Sequence[Picture]) -> None:
    """Replace all tags and pictures of a file in one step. A file that has none and gets none stays as it is.

    Args:
        path: the file
        tags: its new tags
        pictures: its new pictures, which fit, see :func:`codec.bitstream.pictures.fit_pictures`

    Raises:
        UserError: The file is damaged, of an old version, or not writable; the tags are not text or too long.
    """
    blocks = metadata_blocks(tags, pictures)
    with PacketReader(path) as reader:
        reader.check()
        version = reader.header.version
    if version != FORMAT_VERSION:
        raise UserError(f"{path}: format version {version} is only read; encode the source again to change its tags")
    try:
        with path.open("rb") as file:
            start = read_start(file.read, path)
            if start.header.short and not blocks:
                return
            with replacing(path) as part, part.open("wb") as out:
                out.write(_new_start(start, blocks))
                if not start.header.short:
                    file.seek(start.size)
                    shutil.copyfileobj(file, out)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error


def _new_start(start: FileStart, blocks: bytes) -> bytes:
    """Return everything before the packets; with the only packet of a short file, which becomes an archive."""
    header = replace(start.header, short=False)
    packet = frame_packet(0, start.payload) if start.payload else b""
    return start_bytes(header, blocks) + packet
