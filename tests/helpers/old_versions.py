"""Files of versions 1 and 2, which are read, but no longer written; by docs/bitstream.md."""

import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from codec.bitstream.codes import PacketEncoder
from codec.bitstream.framing import frame_packet
from codec.bitstream.header import Header

HEADER_BYTES = {1: 52, 2: 58}


def with_crc(data: bytes) -> bytes:
    return data + zlib.crc32(data).to_bytes(4, "little")


def old_header(version: int, header: Header, tags: dict[str, str] | None = None) -> bytes:
    """Return the header and its tags."""
    block = with_crc(json.dumps(tags, ensure_ascii=False, separators=(",", ":")).encode()) if tags else b""
    size = HEADER_BYTES[version] + len(block)
    flags = header.variable + 2 * header.live
    fields = struct.pack("<4sBBH8s3I", b"\x89NAC", version, flags, size, bytes.fromhex(header.fingerprint),
                         header.sample_rate, header.model_rate, header.latent_hop)  # fmt: skip
    fields += struct.pack("<QQ4B", header.samples, header.frames, header.channels, header.codebooks,
                          header.bits_per_code, header.packet_frames)  # fmt: skip
    if version == 2:
        fields += struct.pack("<HI", header.receptive_frames, header.target_bps)
    return with_crc(fields) + block


def old_file(
    version: int,
    header: Header,
    codes: np.ndarray,
    coder: PacketEncoder,
    samples: int,
    tags: dict[str, str] | None = None,
) -> bytes:
    """Return a file of the archive profile."""
    header, size = replace(header, samples=samples, frames=codes.shape[2]), header.packet_frames
    starts = range(0, codes.shape[2], size)
    payloads = [coder.encode(codes[..., start : start + size], header.variable) for start in starts]
    packets = [packet(version, number, payload) for number, payload in enumerate(payloads)]
    return old_header(version, header, tags) + b"".join(packets) + (index(packets) if version == 2 else b"")


def packet(version: int, number: int, payload: bytes) -> bytes:
    if version == 2:
        return frame_packet(number, payload)  # it is the same in version 3
    length = len(payload).to_bytes(4, "little")
    check = zlib.crc32(payload, zlib.crc32(number.to_bytes(8, "little") + length))
    return length + check.to_bytes(4, "little") + payload


def index(packets: Sequence[bytes]) -> bytes:
    sums = [sum(map(len, packets[at : at + 16])) for at in range(0, len(packets), 16)]
    return with_crc(b"".join(number.to_bytes(4, "little") for number in sums))
