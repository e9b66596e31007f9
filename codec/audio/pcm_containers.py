"""Detection of WAV, RF64, BW64, W64, AIFF, AU, CAF and NIST SPHERE files, and comparison of stated and real sizes.

libsndfile trusts the sizes in headers. Sizes that mean "unknown", sample counts of block codings and files that end
early are found here. Descriptions of the order of channels, which are not used, are hidden from FFmpeg: without them it
only counts the channels.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO, Literal

from codec.audio.chunk_sizes import describe_cut_off, is_chunk_header, is_unknown_size
from codec.audio.chunks import UNKNOWN_64, Chunk, ChunkLayout, iter_chunks, read_at
from codec.audio.file_format import BackEnd, FileFormat, NotAudio

_PCM, _MS_ADPCM, _FLOAT, _A_LAW, _MU_LAW, _IMA_ADPCM, _GSM = 1, 2, 3, 6, 7, 0x11, 0x31
_BY_LIBSNDFILE = {_PCM, _MS_ADPCM, _FLOAT, _A_LAW, _MU_LAW, _IMA_ADPCM, _GSM, 0x38, 0x40}
"""Format tags of WAV that libsndfile reads, with NMS ADPCM (0x38) and G.721 (0x40); FFmpeg reads all others."""
_IN_BLOCKS = {_MS_ADPCM, _IMA_ADPCM, _GSM}
_IN_FRAMES = {_PCM, _FLOAT, _A_LAW, _MU_LAW}
_EXTENSIBLE = 0xFFFE
_DS64_BYTES = 24
_SOX_AIFF_BYTES = 0x7F000000
"""Size that sox writes for samples on a pipe, rounded down to whole frames."""
_NIST, _NIST_BYTES = b"NIST_1A", 1024
_W64_FORMAT = b"fmt " + bytes.fromhex("f3acd3118cd100c04f8edb8a")
_W64_DATA = b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a")


def _counts_its_header(stated: int, size: int) -> bool:
    """Return whether the stated size of the samples is that of the whole file, or of all after the RIFF header."""
    return stated in (size, size - 8)


def detect_riff(file: BinaryIO, start: int, size: int) -> FileFormat | NotAudio:
    """Detect WAV and its variants with 64-bit sizes, RF64 and BW64, and AVI.

    Args:
        file: open for reading; its position is moved
        start: first byte of the container
        size: length of the file in bytes

    Returns:
        The format, or the reason why the file cannot be read.
    """
    head = read_at(file, start, 12)
    if head[8:] == b"AVI ":
        return _detect_avi(file, start, size)
    if head[8:] != b"WAVE":
        return NotAudio(f"a RIFF file of type {head[8:].decode('latin-1')!r}, which is not audio")
    wav = _read_wav_header(file, start, size, big_endian=head[:4] == b"RIFX")
    if wav is None:
        return NotAudio("WAV without samples, truncated in its header or damaged; record or copy it again")
    if len(wav.format) < 16:
        return NotAudio("WAV without its format before the samples; convert it with another program")
    wide = head[:4] in (b"RF64", b"BW64")
    patches: dict[int, bytes] = {0: b"RF64"} if head[:4] == b"BW64" else {}
    present = size - wav.data.start
    stated = wav.long_size if wide and wav.data.size in (0, 0xFFFFFFFF) else wav.data.size
    following = read_at(file, wav.data.start, 8)
    fault = ""
    if wav.ds64 is not None and stated in (0, 0xFFFFFFFF, UNKNOWN_64) and following and not is_chunk_header(following):
        patches[wav.ds64 + 8] = struct.pack("<Q", present)
        stated = present
    elif stated == 0 and is_unknown_size(0, following):
        # A chunk larger than the file ends with it, for libsndfile.
        patches[wav.data.start - start - 4] = min(present, 0xFFFFFFFF).to_bytes(4, wav.byte_order)
        stated = present
    elif stated > present and not is_unknown_size(stated) and not _counts_its_header(stated, size - start):
        fault = describe_cut_off(present, stated)
    if not fault and not is_unknown_size(stated):
        after = wav.data.start + stated + stated % 2
        if joined := _second_file(file, "RIFF", after, size, "WAV", (b"RIFF", b"RF64", b"BW64", b"RIFX")):
            return NotAudio(joined)
    container = "RF64" if wide else "WAV"
    if wav.tag not in _BY_LIBSNDFILE:
        return FileFormat(container, "FFmpeg", start, size, "wav", fault=fault)
    max_frames = wav.frames_in_blocks(min(stated, present))
    untagged = wav.untagged and start == 0 and wav.data.start + stated == size
    return FileFormat(
        container, "libsndfile", start, size, "wav", max_frames, patches=patches, untagged=untagged, fault=fault
    )


def _detect_avi(file: BinaryIO, start: int, size: int) -> FileFormat:
    last = list(iter_chunks(file, "RIFF", start, size))[-1]
    cut = last.stop > size and not is_unknown_size(last.size)
    fault = describe_cut_off(size - last.start, last.size) if cut else ""
    return FileFormat("AVI", "FFmpeg", start, size, "avi", fault=fault)


@dataclass(frozen=True)
class _WavHeader:
    """The chunks of a WAV file up to its samples."""

    data: Chunk
    """The chunk of samples."""
    format: bytes
    """Body of the ``fmt `` chunk."""
    fact: int
    """Samples per channel in the ``fact`` chunk; 0 if there is none."""
    ds64: int | None
    """Offset of the body of the ``ds64`` chunk in the container; None if there is none."""
    long_size: int
    """Size of the samples in the ``ds64`` chunk."""
    byte_order: Literal["little", "big"]
    untagged: bool
    """Whether all chunks up to the samples are known to be no tags."""

    def _number(self, offset: int, length: int) -> int:
        return int.from_bytes(self.format[offset : offset + length], self.byte_order)

    @property
    def tag(self) -> int:
        """Format tag, that of the subformat if the format is extensible."""
        tag = self._number(0, 2)
        return self._number(24, 2) if tag == _EXTENSIBLE and len(self.format) >= 26 else tag

    def frames_in_blocks(self, data_bytes: int) -> int | None:
        """Return the samples per channel of a block coding, by the ``fact`` chunk if it is plausible."""
        if self.tag not in _IN_BLOCKS or len(self.format) < 20:
            return None
        block_bytes, block_frames = self._number(12, 2), self._number(18, 2)
        coded = -(-data_bytes // max(1, block_bytes)) * block_frames
        return self.fact if 0 <= coded - self.fact < 2 * block_frames and self.fact else coded


def _read_wav_header(file: BinaryIO, start: int, size: int, big_endian: bool) -> _WavHeader | None:
    """Read the chunks up to the samples; None if there are no samples."""
    order: Literal["little", "big"] = "big" if big_endian else "little"
    format, long_size, fact, ds64, untagged = b"", 0, 0, None, True
    for chunk in iter_chunks(file, "RIFX" if big_endian else "RIFF", start + 12, size):
        if chunk.name == b"ds64":
            body = read_at(file, chunk.start, _DS64_BYTES)
            long_size, ds64 = int.from_bytes(body[8:16], "little"), chunk.start - start
        elif chunk.name == b"fmt ":
            format = read_at(file, chunk.start, min(chunk.size, 64))
        elif chunk.name == b"fact":
            fact = int.from_bytes(read_at(file, chunk.start, 4), order)
        elif chunk.name == b"data":
            return _WavHeader(chunk, format, fact, ds64, long_size, order, untagged)
        else:
            untagged = False
    return None


def _second_file(
    file: BinaryIO, layout: ChunkLayout, start: int, size: int, kind: str, marks: tuple[bytes, ...]
) -> str:
    """Return the reason for refusing a file that is followed by another; empty if none follows the chunks."""
    for chunk in iter_chunks(file, layout, start, size):
        if chunk.name in marks:
            at = chunk.start - len(chunk.name) - (8 if layout == "CAF" else 4)
            return f"a second {kind} file follows at byte {at}; split it there"
    return ""


def detect_aiff(file: BinaryIO, start: int, size: int) -> FileFormat | NotAudio:
    """Detect AIFF and AIFF-C.

    Args:
        file: open for reading; its position is moved
        start: first byte of the container
        size: length of the file in bytes

    Returns:
        The format, or the reason why the file cannot be read.
    """
    frames, frame_bytes, fault, hidden = 0, 1, "", dict[int, bytes]()
    for chunk in iter_chunks(file, "AIFF", start + 12, size):
        if chunk.name == b"CHAN":
            hidden[chunk.start - 8 - start] = b"    "
        if chunk.name == b"COMM":
            channels, frames, bits = struct.unpack(">HIH", read_at(file, chunk.start, 8).ljust(8, b"\0"))
            frame_bytes = max(1, channels * -(-bits // 8))
        elif chunk.name == b"SSND":
            break
    else:
        return NotAudio("AIFF without samples, truncated in its header or damaged; record or copy it again")
    present = size - chunk.start
    unknown = chunk.size == 0 or is_unknown_size(chunk.size) or 0 <= chunk.size - 8 - _SOX_AIFF_BYTES + 64 <= 64
    if chunk.size > present and not unknown and not _counts_its_header(chunk.size, size - start):
        fault = describe_cut_off(present, chunk.size)
    elif not unknown and (joined := _second_file(file, "AIFF", chunk.next, size, "AIFF", (b"FORM",))):
        return NotAudio(joined)
    # With one byte per frame, the padding byte of the chunk would be read as a sample.
    padded = frames % 2 == 1 and frame_bytes == 1 and not unknown
    return FileFormat(
        "AIFF", "libsndfile", start, size, "aiff", frames if padded else None, patches=hidden, fault=fault
    )


def detect_w64(file: BinaryIO, start: int, size: int) -> FileFormat | NotAudio:
    """Detect Sony Wave64. libsndfile reads any extensible format as integers, so these are left to FFmpeg.

    Args:
        file: open for reading; its position is moved
        start: first byte of the container
        size: length of the file in bytes

    Returns:
        The format, or the reason why the file cannot be read.
    """
    back_end: BackEnd = "libsndfile"
    tag = frame_bytes = 0
    for chunk in iter_chunks(file, "W64", start + 40, size):
        if chunk.name == _W64_FORMAT:
            form = read_at(file, chunk.start, 26).ljust(26, b"\0")
            tag, _, _, _, frame_bytes, _ = struct.unpack_from("<HHIIHH", form)
            if tag == _EXTENSIBLE and (tag := int.from_bytes(form[24:], "little")) != _PCM:
                back_end = "FFmpeg"
        elif chunk.name == _W64_DATA:
            present, known = size - chunk.start, chunk.size < 1 << 62
            fault = describe_cut_off(present, chunk.size) if known and chunk.size > present else ""
            for after in (chunk.stop, chunk.next) if known else ():  # libsndfile does not fill the last chunk
                if read_at(file, after, 4) == b"riff":
                    return NotAudio(f"a second W64 file follows at byte {after}; split it there")
            # libsndfile reads the bytes after the chunk as samples.
            frames = chunk.size // frame_bytes if known and frame_bytes and tag in _IN_FRAMES else None
            return FileFormat("W64", back_end, start, size, "w64", frames, fault=fault)
    return NotAudio("W64 without samples, truncated in its header or damaged; record or copy it again")


def detect_nist(file: BinaryIO, start: int, size: int) -> FileFormat | NotAudio:
    """Detect NIST SPHERE, whose header is text. libsndfile ignores its sample count.

    Args:
        file: open for reading; its position is moved
        start: first byte of the container
        size: length of the file in bytes

    Returns:
        The format, or the reason why the file cannot be read.
    """
    lines = read_at(file, start, _NIST_BYTES).decode("latin-1").split("\n")
    fields = {words[0]: words[2] for line in lines if len(words := line.split(maxsplit=2)) == 3}
    try:
        begin = start + int(lines[1])
        frames, frame_bytes = int(fields["sample_count"]), int(fields["channel_count"]) * int(fields["sample_n_bytes"])
    except (IndexError, KeyError, ValueError):
        return FileFormat("NIST", "libsndfile", start, size, "nistsphere")
    stated = frames * frame_bytes
    if read_at(file, begin + stated, len(_NIST)) == _NIST:
        return NotAudio(f"a second NIST file follows at byte {begin + stated}; split it there")
    plain = fields.get("sample_coding", "pcm") in ("pcm", "ulaw", "mu-law", "alaw")
    fault = describe_cut_off(size - begin, stated) if plain and stated > size - begin else ""
    return FileFormat("NIST", "libsndfile", start, size, "nistsphere", fault=fault)


def detect_au(file: BinaryIO, start: int, size: int) -> FileFormat | NotAudio:
    """Detect Sun and NeXT audio (AU), of either byte order.

    Args:
        file: open for reading; its position is moved
        start: first byte of the container
        size: length of the file in bytes

    Returns:
        The format, or the reason why the file cannot be read.
    """
    head = read_at(file, start, 12)
    order = ">" if head[:4] == b".snd" else "<"
    offset, stated = struct.unpack(order + "II", head[4:12].ljust(8, b"\0"))
    present = size - start - offset
    cut = stated > present and not is_unknown_size(stated)
    if stated and not cut and read_at(file, start + offset + stated, 4) == head[:4]:
        return NotAudio(f"a second AU file follows at byte {start + offset + stated}; split it there")
    return FileFormat(
        "AU", "libsndfile", start, size, "au", fault=describe_cut_off(max(0, present), stated) if cut else ""
    )


_ALAC_32_BITS = 4
"""Format flag of ALAC with samples of 32 bits in CAF."""


def detect_caf(file: BinaryIO, start: int, size: int) -> FileFormat | NotAudio:
    """Detect Core Audio Format files.

    libsndfile refuses those from a pipe and some codings, which FFmpeg reads. FFmpeg 8 removes the padding of the last
    packet even if that packet is short already; the packet table gives the maximum number of samples. FFmpeg 5 counts
    whole packets there, so that fewer samples are not an error.

    Args:
        file: open for reading; its position is moved
        start: first byte of the container
        size: length of the file in bytes

    Returns:
        The format, or the reason why the file cannot be read.
    """
    coding, flags, hidden = b"", 0, dict[int, bytes]()
    for chunk in iter_chunks(file, "CAF", start + 8, size):
        if chunk.name == b"desc":
            coding, flags = struct.unpack(">4sI", read_at(file, chunk.start + 8, 8).ljust(8, b"\0"))
        elif chunk.name == b"chan":
            hidden[chunk.start - 12 - start] = b"free"
        elif chunk.name == b"data":
            break
    else:
        return NotAudio("CAF without samples, truncated in its header or damaged; record or copy it again")
    present = size - chunk.start
    if chunk.size == UNKNOWN_64:
        return FileFormat("CAF", "FFmpeg", start, size, "caf", patches=hidden)
    fault = describe_cut_off(present, chunk.size) if chunk.size > present else ""
    if joined := _second_file(file, "CAF", chunk.next, size, "CAF", (b"caff",)):
        return NotAudio(joined)
    if coding in (b"lpcm", b"alaw", b"ulaw"):
        return FileFormat("CAF", "libsndfile", start, size, "caf", patches=hidden, fault=fault)
    heard = skipped = None
    for table in iter_chunks(file, "CAF", start + 8, size):
        if table.name == b"pakt" and table.size >= 24:
            _, heard, skipped = struct.unpack(">QqI", read_at(file, table.start, 20))
    # libsndfile decodes loud samples of 32 bits to noise.
    back_end: BackEnd = "libsndfile" if coding == b"alac" and flags != _ALAC_32_BITS else "FFmpeg"
    return FileFormat("CAF", back_end, start, size, "caf", heard or None, skipped or 0, hidden, fault)
