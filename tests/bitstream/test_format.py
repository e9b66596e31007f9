"""Files against a reader of docs/bitstream.md in plain Python, and the examples of that document."""

import io
import json
import zlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from codec.bitstream.framing import PACKET_OVERHEAD_BYTES
from codec.bitstream.header import HEADER_BYTES
from codec.bitstream.live import FixedWidthCoder
from codec.bitstream.live_writer import LiveWriter
from codec.bitstream.reader import PacketReader, read_header
from codec.bitstream.writer import PacketWriter
from codec.errors import UserError
from tests.helpers.bitstreams import (
    CODER,
    HEADER,
    TABLES,
    coder_of,
    decode_by_the_book,
    samples_for,
    write_packets,
)

VERSION_1 = bytes.fromhex("""
89 4e 41 43 01 00 34 00 00 11 22 33 44 55 66 77 40 1f 00 00 40 1f 00 00 04 00 00 00 2d 00 00 00
00 00 00 00 0c 00 00 00 00 00 00 00 01 02 03 40 7a d5 54 bd 0c 00 00 00 8a fa 16 54 ab 9c 83 ab
d6 c9 12 ef 00 00 20 0c""")
"""The example of version 1, with the codes of that of version 2."""


def parse_by_the_book(data: bytes) -> tuple[dict[str, int], list[list[int]], dict[str, str]]:
    """The document in plain Python: header fields, the codes of each packet in order of storage, and the tags."""
    number = lambda at, size: int.from_bytes(data[at : at + size], "little")  # noqa: E731
    assert data[:4] == b"\x89NAC" and data[4] == 2 and data[5] == 0
    start = number(6, 2)
    layout = {
        "fingerprint": (8, 8), "rate": (16, 4), "model_rate": (20, 4), "hop": (24, 4), "samples": (28, 8),
        "frames": (36, 8), "channels": (44, 1), "codebooks": (45, 1), "bits": (46, 1), "per_packet": (47, 1),
        "receptive": (48, 2), "target": (50, 4),
    }  # fmt: skip
    fields = {name: number(*place) for name, place in layout.items()}
    assert number(54, 4) == zlib.crc32(data[:54])
    tags = {}
    if start > 58:
        assert number(start - 4, 4) == zlib.crc32(data[58 : start - 4])
        tags = json.loads(data[58 : start - 4])
    packets, left, ends = [], fields["frames"], [start]
    while left:
        frames = min(left, fields["per_packet"])
        length, bytes_of_length, more = 0, 0, True
        while more:
            byte = data[start + bytes_of_length]
            length += (byte & 127) << 7 * bytes_of_length
            bytes_of_length, more = bytes_of_length + 1, byte >= 128
        end = start + bytes_of_length + length
        assert number(end, 4) == (zlib.crc32(data[start:end]) + len(packets)) % 2**32
        order = [row.tolist() for row in TABLES for _ in range(frames * fields["channels"])]
        packets.append(decode_by_the_book(data[start + bytes_of_length : end], order))
        start, left = end + 4, left - frames
        ends.append(start)
    groups = [*ends[:-1:16], ends[-1]]
    index = b"".join((b - a).to_bytes(4, "little") for a, b in pairwise(groups))
    assert data[start:] == index + zlib.crc32(index).to_bytes(4, "little")
    return fields, packets, tags


@pytest.mark.parametrize("frames", [0, 1, 7, 8, 9, 40, 128, 129, 300])
def test_files_are_as_documented(tmp_path, frames):
    path, tags = tmp_path / "x.nac", {"title": "Zwölf", "date": "2024"} if frames % 2 else {}
    codes = write_packets(path, frames, tags=tags)
    fields, packets, found = parse_by_the_book(path.read_bytes())
    assert found == tags
    assert fields == {
        "fingerprint": int.from_bytes(bytes.fromhex(HEADER.fingerprint), "little"),
        "rate": 22050, "model_rate": 16000, "hop": 320, "samples": samples_for(frames) if frames else 0,
        "frames": frames, "channels": 2, "codebooks": 3, "bits": 10, "per_packet": 8,
        "receptive": 25, "target": 0,
    }  # fmt: skip
    assert packets == [codes[..., at : at + 8].swapaxes(0, 1).ravel().tolist() for at in range(0, frames, 8)]


def test_overhead_is_as_documented(tmp_path):
    """6.25 bytes around each packet of usual length, and 62 around the whole."""
    path = tmp_path / "x.nac"
    write_packets(path, 16 * 64 * 8, header=replace(HEADER, packet_frames=64))
    with PacketReader(path) as reader:
        list(reader.codes(CODER))
        around = reader.file_bytes - reader.payload_bytes
        assert around == HEADER_BYTES + PACKET_OVERHEAD_BYTES * reader.header.packets + 4
    assert HEADER_BYTES == 58


def test_example_in_the_document(tmp_path):
    document = (Path(__file__).parents[2] / "docs" / "bitstream.md").read_text()
    data, stream = (
        bytes.fromhex(block.split("```")[0]) for block in document.split("## Examples")[1].split("```hex")[1:]
    )
    (tmp_path / "x.nac").write_bytes(data)
    coder = coder_of(np.array([[1 << 21] * 8, [1 << n for n in (23, 22, 21, 20, 19, 18, 17, 17)]]))
    codes = [[5, 2, 7, 0, 1, 6, 3, 4, 5, 2, 7, 7], [0, 1, 0, 0, 2, 7, 0, 0, 1, 3, 0, 5]]
    with PacketReader(tmp_path / "x.nac") as reader:
        assert (reader.header.samples, reader.header.fingerprint) == (45, "0011223344556677")
        assert reader.tags == {"title": "x"}
        assert [packet.tolist() for packet in reader.codes(coder)] == [[codes]]
    with PacketWriter(tmp_path / "y.nac", reader.header, coder, reader.tags) as writer:
        writer.write(np.array([codes]))
        writer.finish(45)
    assert (tmp_path / "y.nac").read_bytes() == data

    (tmp_path / "x.nac").write_bytes(stream)
    fixed, codes = FixedWidthCoder(8), np.array([[[5, 2, -1], [0, -1, -1]]])
    with PacketReader(tmp_path / "x.nac") as reader:
        assert (reader.header.samples, reader.header.frames, reader.header.live) == (9, 3, True)
        assert [packet.tolist() for packet in reader.codes(fixed)] == [codes.tolist()]
    sender = LiveWriter(sent := io.BytesIO(), replace(reader.header, samples=0, frames=0), fixed)
    sender.write(codes[..., :2])
    sender.finish(codes[..., 2:], 9)
    assert sent.getvalue() == stream


def test_version_1_is_read(tmp_path):
    path = tmp_path / "x.nac"
    coder = coder_of(np.array([[1 << 21] * 8, [1 << n for n in (23, 22, 21, 20, 19, 18, 17, 17)]]))
    path.write_bytes(VERSION_1)
    with PacketReader(path) as reader:
        assert (reader.header.version, reader.header.samples, reader.header.packet_frames) == (1, 45, 64)
        (codes,) = reader.codes(coder)
        assert codes[0, :, :3].tolist() == [[5, 2, 7], [0, 1, 0]] and reader.payload_bytes == 12
    for size in range(len(VERSION_1)):
        path.write_bytes(VERSION_1[:size])
        with pytest.raises(UserError):
            read_header(path)
    for place in range(len(VERSION_1)):
        path.write_bytes(VERSION_1[:place] + bytes([VERSION_1[place] ^ 9]) + VERSION_1[place + 1 :])
        with pytest.raises(UserError):
            with PacketReader(path) as reader:
                list(reader.codes(coder))
    with_damage = bytearray(VERSION_1)
    with_damage[-1] ^= 1
    path.write_bytes(with_damage)
    with PacketReader(path) as reader:
        assert [(one.first, one.frames, one.codes) for one in reader.packets(coder)] == [(0, 12, None)]


class CountedCoder:
    """Stand-in for a coder of frames with different numbers of codes: payloads are opaque to the container."""

    def encode(self, codes, variable):
        return codes.astype("<i2").tobytes()

    def decode(self, data, channels, codebooks, frames, variable):
        assert variable
        if len(data) != 2 * channels * codebooks * frames:
            raise ValueError("length")
        return np.frombuffer(data, "<i2").astype(np.int64).reshape(channels, codebooks, frames)


def test_variable_numbers_of_codes_are_a_flag(tmp_path):
    codes = np.random.default_rng(0).integers(-1, 1000, (2, 3, 20))
    header = replace(HEADER, variable=True, target_bps=6000)
    with PacketWriter(tmp_path / "x.nac", header, CountedCoder()) as writer:
        writer.write(codes)
        writer.finish(samples_for(20))
    data = (tmp_path / "x.nac").read_bytes()
    assert data[5] == 1
    with PacketReader(tmp_path / "x.nac") as reader:
        assert reader.header.variable and reader.header.target_bps == 6000
        np.testing.assert_array_equal(np.concatenate(list(reader.codes(CountedCoder())), 2), codes)
