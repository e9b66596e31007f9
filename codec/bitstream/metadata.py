"""Replace the tags and pictures of a ``.nac`` file; its payloads stay byte for byte; docs/bitstream.md.

A file of version 1 or 2 becomes one of version 3, whose payloads are the same.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from codec.audio.pictures import Picture
from codec.bitstream.file_start import FileStart, metadata_blocks, read_start, start_bytes
from codec.bitstream.framing import frame_packet
from codec.bitstream.header import FINGERPRINT_DIGITS, FORMAT_VERSION
from codec.bitstream.index import PACKETS_PER_ENTRY, index_bytes, index_size
from codec.bitstream.reader import PacketReader
from codec.errors import UserError
from codec.runtime.atomic_files import replacing


def replace_metadata(path: Path, tags: Mapping[str, str], pictures: Sequence[Picture]) -> None:
    """Replace all tags and pictures of a file in one step. A file that has none and gets none stays as it is.

    Args:
        path: the file, or a link to it; its permissions stay
        tags: its new tags
        pictures: its new pictures, which fit, see :func:`codec.bitstream.pictures.fit_pictures`

    Raises:
        UserError: The file is damaged, or not writable; the tags are not text or too long.
    """
    blocks = metadata_blocks(tags, pictures)
    with PacketReader(path) as reader:
        reader.check()
        try:
            with path.open("rb") as file:
                start = read_start(file.read, path)
                if start.header.short and not blocks:
                    return
                with replacing(path.resolve()) as part, part.open("wb") as out:
                    shutil.copymode(path, part)
                    out.write(_new_start(start, blocks))
                    if start.header.version == 1:
                        _reframe(reader, out)
                    elif not start.header.short:
                        file.seek(start.size)
                        shutil.copyfileobj(file, out)
                        _drop_index(reader, out)
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror})") from error


def _new_start(start: FileStart, blocks: bytes) -> bytes:
    """Return everything before the packets; with the only packet of a short file, which becomes an archive."""
    digits = start.header.fingerprint[:FINGERPRINT_DIGITS]
    header = replace(start.header, short=False, version=FORMAT_VERSION, fingerprint=digits, receptive_frames=0)
    packet = frame_packet(0, start.payload) if start.payload else b""
    return start_bytes(header, blocks) + packet


def _drop_index(reader: PacketReader, out: BinaryIO) -> None:
    """Remove the index at the end of what was copied if only version 2 has one for so few packets."""
    if not reader.header.live:
        packets = reader.header.packets
        out.truncate(out.tell() - index_size(packets, reader.header.version) + index_size(packets))


def _reframe(reader: PacketReader, out: BinaryIO) -> None:
    """Write the packets of a file of version 1 as those of the version that is written, and their index."""
    groups: list[int] = []
    number = -1
    for number, payload in reader.payloads():
        if payload is None:
            raise UserError(
                f"{reader.path}: packet {number + 1} is damaged; encode the source again to change its tags"
            )
        packet = frame_packet(number, payload)
        if number % PACKETS_PER_ENTRY == 0:
            groups.append(0)
        groups[-1] += len(packet)
        out.write(packet)
    if index_size(number + 1):
        out.write(index_bytes(groups))
