"""Detection of the format of an audio file from its bytes, never from its suffix.

A signature counts only at the offset that the format defines. The back end for each format was chosen by measurement;
the table is in docs/formats.md, and a test checks each row.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import BinaryIO

from codec.audio import mpeg_frames
from codec.audio.chunk_sizes import describe_cut_off
from codec.audio.chunks import UNKNOWN_64, Chunk, iter_boxes, iter_chunks, iter_elements, read_at
from codec.audio.file_format import FileFormat, NotAudio
from codec.audio.pcm_containers import (
    detect_aiff,
    detect_au,
    detect_caf,
    detect_nist,
    detect_riff,
    detect_w64,
)
from codec.audio.tag_positions import find_end_tags, skip_id3v2, skip_tag

_APPLE_DOUBLE = b"\x00\x05\x16\x07"
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_BY_LIBSNDFILE = {
    b"Creative Voice File\x1a": "VOC", b" paf": "PAF", b"fap ": "PAF", b"PVF1\n": "PVF",
    b"2BIT": "AVR", b"\x64\xa3\x01\x00": "IRCAM", b"\x64\xa3\x02\x00": "IRCAM", b"\x64\xa3\x03\x00": "IRCAM",
    b"\x00\x01\xa3\x64": "IRCAM", b"\x00\x02\xa3\x64": "IRCAM", b"\x00\x03\xa3\x64": "IRCAM",
    b"ALawSoundFile**": "WVE", b"Extended Instrument: ": "XI", b"MATLAB 5.0 MAT-file": "MAT5",
    b"\xf0\x7e": "SDS", b"\x01\x04": "MPC2K",
}  # fmt: skip
_TTA = b"TTA1"
_BY_FFMPEG = {
    b"wvpk": ("WavPack", "wv"), _TTA: ("TTA", "tta"), b"TTA2": ("TTA", "tta"), b"MAC ": ("Monkey's Audio", "ape"),
    b"DSD ": ("DSF", "dsf"), b"FRM8": ("DSDIFF", "iff"), b"#!AMR": ("AMR", "amr"), b"tBaK": ("TAK", "tak"),
    b"MPCK": ("Musepack", "mpc8"), b"MP+": ("Musepack", "mpc"), b"ajkg": ("Shorten", "shn"),
    b"FLV\x01": ("FLV", "flv"), b".RMF": ("RealMedia", "rm"), b".ra\xfd": ("RealAudio", "rm"),
    b"\x0b\x77": ("AC3", "ac3"), b"\x7f\xfe\x80\x01": ("DTS", "dts"), b"\x00\x00\x01\xba": ("MPEG-PS", "mpeg"),
    b"qoaf": ("QOA", "qoa"),
}  # fmt: skip
_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18\x53\x80\x67"
_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof", b"uuid"}
_BOXES_ON_THE_WAY = {b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"wave"}
"""Boxes between the index of an MP4 file and the description of the coding."""
_SAMPLE_DESCRIPTION_BYTES = {0: 28, 1: 44, 2: 64}
"""Bytes of an audio sample description before the boxes in it, by version."""
_TS_PACKET = 188


def detect_format(file: BinaryIO, size: int) -> FileFormat | NotAudio:
    """Detect the format of a file.

    Args:
        file: the file, open for reading; its position is moved
        size: its length in bytes

    Returns:
        Its format and the back end to read it with, or the reason why it cannot be read. Lengths in the header are
        compared with ``size``.

    >>> import io
    >>> detect_format(io.BytesIO(b"plain text"), 10)
    NotAudio(reason='not a known audio format; check the file')
    """
    start = skip_id3v2(file, 0, size)
    if start and read_at(file, start + 1, 4) == b"ftyp":
        start -= 3  # zeros of the size that a box of MP4 begins with, not of the tag
    head = read_at(file, start, 64)
    if head.startswith(_APPLE_DOUBLE):
        return NotAudio("an AppleDouble file, in which macOS keeps metadata on foreign disks, not audio; leave it out")
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        return detect_riff(file, start, size)
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return detect_aiff(file, start, size)
    if head[:4] == b"FORM" and head[8:12] in (b"8SVX", b"16SV"):
        return FileFormat("SVX", "libsndfile", start, size)
    if head[:4] == b"riff" and head[24:28] == b"wave":
        return detect_w64(file, start, size)
    if head[:4] in (b".snd", b"dns."):
        return detect_au(file, start, size)
    if head[:4] == b"caff":
        return detect_caf(file, start, size)
    if head[:4] == b"fLaC":
        return FileFormat("FLAC", "FLAC", start, find_end_tags(file, start, size), "flac")
    if head[:4] == b"OggS":
        return FileFormat("OGG", "Ogg", start, size, "ogg")
    if head[:4] == _EBML:
        return _matroska(file, start, size)
    if head[:16] == _ASF:
        return _asf(file, start, size)
    if head[4:8] in _BOXES:
        return _mp4(file, start, size)
    if head.startswith(b"NIST_1A"):
        return detect_nist(file, start, size)
    for mark, name in _BY_LIBSNDFILE.items():
        if head.startswith(mark):
            return FileFormat(name, "libsndfile", start, size)
    for mark, (name, demuxer) in _BY_FFMPEG.items():
        if head.startswith(mark):
            if mark == _TTA and read_at(file, _end_of_tta(file, start, size), 4) == _TTA:
                return NotAudio("two TTA files joined byte by byte; split them first")
            return FileFormat(name, "FFmpeg", start, find_end_tags(file, start, size), demuxer)
    return _without_marks(file, head, start, size)


def _without_marks(file: BinaryIO, head: bytes, start: int, size: int) -> FileFormat | NotAudio:
    """Detect formats without a signature by several frames that follow each other."""
    end = find_end_tags(file, start, size)
    if (first := mpeg_frames.find_first_frame(file, start, end)) is not None:
        return FileFormat("MP3", "MPEG", first, end, "mp3")
    if _chained(file, start, end, _adts_bytes):
        return FileFormat("AAC", "FFmpeg", start, end, "aac")
    if _chained(file, start, end, _latm_bytes):
        return FileFormat("AAC", "FFmpeg", start, end, "loas")
    if head[:1] == b"G" and read_at(file, start + _TS_PACKET, 1) == b"G":
        return FileFormat("MPEG-TS", "FFmpeg", start, size, "mpegts")
    if not head.strip(b"\0"):
        return NotAudio("begins with zeros, not audio; copy the file again")
    return NotAudio("not a known audio format; check the file")


def _chained(file: BinaryIO, start: int, end: int, frame_bytes: Callable[[bytes], int], times: int = 3) -> bool:
    """Return whether frames of these lengths follow each other, at least ``times`` or up to the end."""
    for number in range(times):
        length = frame_bytes(read_at(file, start, 8))
        if not length:
            return number > 0 and start >= end
        start += length
    return True


def _adts_bytes(head: bytes) -> int:
    """Return the length of an ADTS frame (ISO/IEC 13818-7), 0 if there is none."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 > 12:
        return 0
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return length if length >= 7 else 0


def _latm_bytes(head: bytes) -> int:
    """Return the length of a LOAS frame (ISO/IEC 14496-3), 0 if there is none."""
    if len(head) < 3 or head[0] != 0x56 or head[1] & 0xE0 != 0xE0:
        return 0
    return 3 + ((head[1] & 0x1F) << 8 | head[2])


def _last_fault(parts: list[Chunk], end: int) -> str:
    """Return why the last of the outermost parts is incomplete, empty if it is complete."""
    last = max(parts, key=lambda one: one.stop, default=None)
    return describe_cut_off(end - last.start, last.size) if last and last.stop > end else ""


def _mp4(file: BinaryIO, start: int, size: int) -> FileFormat | NotAudio:
    found = list(iter_boxes(file, start, size))
    names = [box.name for box in found]
    if b"moov" not in names:
        if b"mdat" in names or len(names) > 1:
            return NotAudio("MP4 without an index (moov), an interrupted recording; repair it with another program")
        return NotAudio("MP4 without audio; check the file")
    if names.count(b"moov") > 1:
        return NotAudio("two MP4 files joined byte by byte; split them first")
    known = [box for box in found if box.name in _BOXES]
    (index,) = [box for box in found if box.name == b"moov"]
    # Why the order of channels is hidden: see codec/audio/pcm_containers.py.
    hidden = {box - start: b"free" for box in _channel_orders(file, index)}
    return FileFormat("MP4", "FFmpeg", start, size, "mov", patches=hidden, fault=_last_fault(known, size))


def _channel_orders(file: BinaryIO, box: Chunk) -> Iterator[int]:
    """Yield the positions of the names of boxes with an order of channels (QuickTime's ``chan``)."""
    if box.name == b"stsd":
        for entry in iter_boxes(file, box.start + 8, box.stop):
            version = int.from_bytes(read_at(file, entry.start + 8, 2), "big")
            fields = _SAMPLE_DESCRIPTION_BYTES.get(version, 0)
            yield from _channel_orders(file, replace(entry, name=b"", start=entry.start + fields))
        return
    for inner in iter_boxes(file, box.start, box.stop):
        if inner.name == b"chan":
            yield inner.start - 4
        elif inner.name in _BOXES_ON_THE_WAY:
            yield from _channel_orders(file, inner)


def _end_of_tta(file: BinaryIO, start: int, size: int) -> int:
    """Return the byte after the last frame, by the table of their lengths, and after a tag that follows."""
    _, _, _, _, rate, samples, _ = struct.unpack("<4sHHHIII", read_at(file, start, 22).ljust(22, b"\0"))
    frame_samples = 256 * rate // 245
    frames = -(-samples // frame_samples) if frame_samples else 0
    table = read_at(file, start + 22, 4 * frames)
    lengths = (length for (length,) in struct.iter_unpack("<I", table[: len(table) // 4 * 4]))
    return skip_tag(file, start + 22 + 4 * frames + 4 + sum(lengths), size)


def _matroska(file: BinaryIO, start: int, size: int) -> FileFormat | NotAudio:
    found = list(iter_elements(file, start, size))
    head = read_at(file, start, 64)
    name = "WebM" if b"\x42\x82\x84webm" in head else "Matroska"
    if [one.name for one in found].count(_EBML) > 1:
        return NotAudio(f"two {name} files joined byte by byte; split them first")
    sized = [one for one in found if one.size != UNKNOWN_64 and one.name in (_EBML, _SEGMENT)]
    return FileFormat(name, "FFmpeg", start, size, "matroska", fault=_last_fault(sized, size))


def _asf(file: BinaryIO, start: int, size: int) -> FileFormat | NotAudio:
    found = [one for one in iter_chunks(file, "ASF", start, size) if one.name in (_ASF, _ASF_DATA)]
    if [one.name for one in found].count(_ASF) > 1:
        return NotAudio("two ASF files joined byte by byte; split them first")
    return FileFormat("ASF", "FFmpeg", start, size, "asf", fault=_last_fault(found, size))
