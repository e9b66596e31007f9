"""Sizes in headers that do not count anything: a writer to a pipe cannot come back to fill them in.

RF64 and BW64 keep their sizes in the ``ds64`` chunk, by 64 bits; the 0xFFFFFFFF that stands in their place elsewhere
refers there and is not unknown. A FLAC total of 0 is unknown as well, and has no neighbours that could be mistaken.
"""

_LARGEST_STATED = 0x7FFF0000
"""From here on, FFmpeg (0xFFFFFFFF), sox (0x7FFFF000 and the like) and others mean "unknown"."""
_CHUNK_HEADER_BYTES = 8
_PRINTABLE = range(0x20, 0x7F)


def is_chunk_header(header: bytes) -> bool:
    """Return whether ``header`` can begin a chunk: four printable characters and a size of 32 bits."""
    return len(header) >= _CHUNK_HEADER_BYTES and all(byte in _PRINTABLE for byte in header[:4])


def is_unknown_size(size: int, following: bytes = b"") -> bool:
    """Return whether the size of 32 bits that a chunk of samples states means "to the end of the stream".

    A file that really is that large and holds the stated bytes has to be recognised by the caller.

    Args:
        size: the stated number of bytes.
        following: the first bytes after the chunk's header (at least 8, or all that there are): a size of 0 is meant
            where they begin another chunk, or where nothing follows.
    """
    if size == 0:
        return bool(following) and not is_chunk_header(following)
    return size >= _LARGEST_STATED


def describe_cut_off(present: int, stated: int) -> str:
    """Return the reason for refusing a file that holds fewer bytes than it states."""
    return f"cut off: {present} of the announced {stated} bytes are there"
