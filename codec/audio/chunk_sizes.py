"""Sizes in chunk headers that mean "unknown", because a program that writes to a pipe cannot go back to fill them in.

RF64 and BW64 files are an exception: their sizes have 64 bits and stand in the ``ds64`` chunk, to which a size of
0xFFFFFFFF elsewhere refers. FLAC has one such value, a total of 0 samples, which needs no rule.
"""

_LARGEST_STATED = 0x7FFF0000
"""Smallest size that means "unknown": FFmpeg writes 0xFFFFFFFF, sox 0x7FFFF000 and similar."""
_CHUNK_HEADER_BYTES = 8
_PRINTABLE = range(0x20, 0x7F)


def is_chunk_header(header: bytes) -> bool:
    """Return whether some bytes can be the header of a chunk: four printable characters and a size of 32 bits.

    Args:
        header: at least 8 bytes, or False is returned

    Returns:
        Whether a chunk can begin there.
    """
    return len(header) >= _CHUNK_HEADER_BYTES and all(byte in _PRINTABLE for byte in header[:4])


def is_unknown_size(size: int, following: bytes = b"") -> bool:
    """Return whether the size in the header of a chunk of samples means "to the end of the stream".

    A file that really is that large has to be recognised by the caller.

    Args:
        size: number of bytes in the header, 32 bits
        following: the first 8 bytes after the header of the chunk, or fewer at the end of the file. A size of 0 is
            correct if they begin another chunk or if nothing follows.

    Returns:
        Whether the size is unknown.

    >>> is_unknown_size(0xFFFFFFFF), is_unknown_size(48000), is_unknown_size(0, bytes(8))
    (True, False, True)
    """
    if size == 0:
        return bool(following) and not is_chunk_header(following)
    return size >= _LARGEST_STATED


def describe_cut_off(present: int, stated: int) -> str:
    """Return the reason for refusing a file that is shorter than the length in its header.

    Args:
        present: number of bytes in the file
        stated: number of bytes according to its header

    Returns:
        One line without the path.
    """
    return f"truncated: it holds {present} of the {stated} bytes given in its header"
