"""Files against a reader of docs/bitstream.md in plain Python, and the examples of that document."""

import io
import zlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from codec.audio.pictures import Picture
from codec.bitstream.file_layout import archive_layout
from codec.bitstream.framing import PACKET_OVERHEAD_BYTES
from codec.bitstream.header import Header, is_fingerprint_of
from codec.bitstream.header_layout import MAX_HEADER_BYTES, MIN_HEADER_BYTES, header_bytes, parse_header
from codec.bitstream.live import FixedWidthCoder
from codec.bitstream.live_writer import LiveWriter
from codec.bitstream.metadata import replace_metadata
from codec.bitstream.reader import PacketReader, read_nac_header
from codec.bitstream.writer import PacketWriter
from codec.errors import UserError
from tests.helpers.bitstreams import (
    CODER,
    HEADER,
    TABLES,
    coder_of,
    decode_by_the_book,
    read_back,
    samples_for,
    write_packets,
)
from tests.helpers.old_versions import old_file

VERSION_1 = bytes.fromhex("""
89 4e 41 43 01 00 34 00 00 11 22 33 44 55 66 77 40 1f 00 00 40 1f 00 00 04 00 00 00 2d 00 00 00
00 00 00 00 0c 00 00 00 00 00 00 00 01 02 03 40 7a d5 54 bd 0c 00 00 00 8a fa 16 54 ab 9c 83 ab
d6 c9 12 ef 00 00 20 0c""")
"""The example of version 1, with the codes of those of versions 2 and 3."""
VERSION_2 = bytes.fromhex("""
89 4e 41 43 02 00 4b 00 00 11 22 33 44 55 66 77 40 1f 00 00 40 1f 00 00 04 00 00 00 2d 00 00 00
00 00 00 00 0c 00 00 00 00 00 00 00 01 02 03 40 05 00 00 00 00 00 40 91 04 88 7b 22 74 69 74 6c
65 22 3a 22 78 22 7d 80 9b e5 4e 0c ab 9c 83 ab d6 c9 12 ef 00 00 20 0c 1b 1c 3b c5 11 00 00 00
e6 ef e1 c9""")
VERSION_2_LIVE = bytes.fromhex("""
89 4e 41 43 02 03 3a 00 00 11 22 33 44 55 66 77 40 1f 00 00 40 1f 00 00 04 00 00 00 00 00 00 00
00 00 00 00 00 00 00 00 00 00 00 00 01 02 03 01 05 00 00 00 00 00 e4 e0 5b cc 02 05 f2 84 01 02
93 42 ff 09 00 00 00 00 00 00 00 03 00 00 00 00 00 00 00 ce ce a1 82 00 8f ef ff 09 00 00 00 00
00 00 00 03 00 00 00 00 00 00 00 ce ce a1 82""")


RATES = [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000, 128000, 176400, 192000]


class Bytes:
    """Bytes that are taken one after the other."""

    def __init__(self, data: bytes):
        self.data, self.place = data, 0

    def take(self, count: int) -> bytes:
        self.place += count
        return self.data[self.place - count : self.place]

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "little")

    def varint(self) -> int:
        byte = self.number(1)
        return byte if byte < 128 else byte - 128 + 128 * self.varint()

    def check(self, start: int, number: int = 0) -> None:
        expected = zlib.crc32(self.data[start : self.place]) + number
        assert self.number(4) == expected % 2**32


def parse_tags_by_the_book(data: bytes) -> list[str]:
    source, entries = Bytes(data), []
    while source.place < len(data):
        entries.append(source.take(source.varint()).decode())
    return entries


def parse_by_the_book(data: bytes) -> tuple[dict[str, int], list[list[int]], list[str]]:
    """The document in plain Python: header fields, the codes of each packet in order of storage, and the tags."""
    source = Bytes(data)
    assert source.take(4) == b"\x89NAC"
    flags = source.number(1)
    assert flags & 15 == 3
    profile, variable, blocks = flags >> 4 & 3, flags >> 6 & 1, flags >> 7
    fields = {"profile": profile, "variable": variable, "fingerprint": int.from_bytes(source.take(4), "big")}
    rate = source.number(1)
    model = source.number(2)
    fields |= {"codebooks": source.number(1), "bits": source.number(1)}
    fields["rate"] = RATES[rate % 16 - 1] if rate % 16 else source.varint()
    fields["channels"] = rate // 16 or source.varint()
    fields["model_rate"] = RATES[model % 16 - 1] if model % 16 else source.varint()
    fields["hop"] = model // 16 or source.varint()
    target = source.varint()
    fields["target"] = target // 2 if target % 2 else 25 * target
    blocks_size = source.varint() if blocks else 0
    count = source.varint()
    samples = fields["samples"] = count // 2
    model_samples = -(-samples * fields["model_rate"] // fields["rate"])
    frames = fields["frames"] = model_samples // fields["hop"] + 1 + count % 2 if count else 0
    symbols = lambda number: [  # noqa: E731
        row.tolist() for row in TABLES for _ in range(number * fields["channels"])
    ]
    if profile == 0:
        payload = source.take(len(data) - source.place - 4)
        source.check(0)
        return fields, [decode_by_the_book(payload, symbols(frames))] if frames else [], []
    fields["per_packet"] = source.number(1)
    source.check(0)
    tags, end = [], source.place + blocks_size
    while source.place < end:
        start = source.place
        assert source.number(1) == 1
        tags = parse_tags_by_the_book(source.take(source.varint()))
        source.check(start)
    packets, left, ends = [], frames, [source.place]
    while left:
        start, number = source.place, min(left, fields["per_packet"])
        payload = source.take(source.varint())
        source.check(start, len(packets))
        packets.append(decode_by_the_book(payload, symbols(number)))
        ends.append(source.place)
        left -= number
    if len(packets) > 16:
        start = source.place
        assert [source.number(4) for _ in ends[:-1:16]] == [b - a for a, b in pairwise([*ends[:-1:16], ends[-1]])]
        source.check(start)
    assert source.place == len(data)
    return fields, packets, tags


@pytest.mark.parametrize("frames", [0, 1, 7, 8, 9, 20, 21, 40, 128, 129, 300])
@pytest.mark.parametrize("tags", [{}, {"title": "Zwölf", "artist": "A\0B=C"}])
def test_files_are_as_documented(tmp_path, frames, tags):
    path = tmp_path / "x.nac"
    codes = write_packets(path, frames, tags=tags)
    fields, packets, found = parse_by_the_book(path.read_bytes())
    assert found == (["title=Zwölf", "artist=A", "artist=B=C"] if tags else [])
    short = frames <= 20 and not tags
    assert fields == {
        "profile": 0 if short else 1, "variable": 0, "fingerprint": 0x01234567,
        "rate": 22050, "model_rate": 16000, "hop": 320, "samples": samples_for(frames) if frames else 0,
        "frames": frames, "channels": 2, "codebooks": 3, "bits": 10, "target": 0,
        **({} if short else {"per_packet": 8}),
    }  # fmt: skip
    size = 20 if short else 8
    assert packets == [codes[..., at : at + size].swapaxes(0, 1).ravel().tolist() for at in range(0, frames, size)]


UNUSUAL = {
    "sample_rate": 37800, "channels": 16, "model_rate": 12345, "latent_hop": 4096, "target_bps": 1234, "codebooks": 255,
}  # fmt: skip


@pytest.mark.parametrize("samples", [0, 1, 12345, 5000000])
def test_unusual_values_are_written_out(samples):
    """Each header has other bytes, and is read as it was written, with either number of frames that it may have."""
    written = set()
    for profile in ({}, {"short": True}, {"live": True, "packet_frames": 1}):
        for name, value in [*UNUSUAL.items(), ("variable", True), ("target_bps", 1250)]:
            header = replace(HEADER, **{"channels": 1, **profile, name: value})
            if header.live:
                header = replace(header, codebooks=min(header.codebooks, 254))
            for more in (0, 1) if samples and not header.live else (0,):
                head = replace(header, samples=0 if header.live else samples)
                head = replace(head, frames=head.model_samples // head.latent_hop + 1 + more if head.samples else 0)
                if head.short:
                    head = replace(head, packet_frames=max(1, head.frames))
                if head.fault():
                    continue
                data = header_bytes(head)
                assert parse_header(io.BytesIO(data).read) == (read_back(head), 0)
                assert MIN_HEADER_BYTES <= len(data) <= MAX_HEADER_BYTES
                written.add(data)
    assert len(written) >= 8


def test_overhead_is_as_documented(tmp_path):
    """22 bytes around a short file of usual values; 6.25 around each packet of usual length of a long one."""
    path, header = tmp_path / "x.nac", replace(HEADER, packet_frames=64, target_bps=1500)
    for frames, tags in ((150, {}), (16 * 64 * 8, {}), (150, {"title": "x"})):
        write_packets(path, frames, header=header, tags=tags)
        with PacketReader(path) as reader:
            list(reader.codes(CODER))
            around = reader.file_bytes - reader.payload_bytes - reader.blocks_bytes
            layout = archive_layout(header, bool(tags))
            if reader.header.short:
                assert around == 22 == layout.short_bits / 8
            else:
                packets = reader.header.packets
                index = (4 + packets / 4) * (packets > 16)
                assert around == 26 + bool(tags) + 6 * packets + index and layout.start_bits == 8 * 26
                assert layout.packet_bits == 8 * PACKET_OVERHEAD_BYTES == 50


CODES = [[5, 2, 7, 0, 1, 6, 3, 4, 5, 2, 7, 7], [0, 1, 0, 0, 2, 7, 0, 0, 1, 3, 0, 5]]
LIVE_CODES = np.array([[[5, 2, -1], [0, -1, -1]]])
EXAMPLE_CODER = coder_of(np.array([[1 << 21] * 8, [1 << n for n in (23, 22, 21, 20, 19, 18, 17, 17)]]))


def read_example(path: Path, data: bytes) -> PacketReader:
    """Read the example, check what all versions of it have in common, and return the reader, which is closed."""
    path.write_bytes(data)
    with PacketReader(path) as reader:
        head = reader.header
        if head.live:
            assert (head.samples, head.frames) == (9, 3)
            assert [packet.tolist() for packet in reader.codes(FixedWidthCoder(8))] == [LIVE_CODES.tolist()]
        else:
            assert (head.samples, head.frames) == (45, 12)
            assert [packet.tolist() for packet in reader.codes(EXAMPLE_CODER)] == [[CODES]]
        assert is_fingerprint_of(head.fingerprint, ["0011223344556677"])
        assert (head.sample_rate, head.model_rate, head.latent_hop, head.bits_per_code) == (8000, 8000, 4, 3)
    return reader


def test_examples_in_the_document(tmp_path):
    document = (Path(__file__).parents[2] / "docs" / "bitstream.md").read_text()
    short, archive, live = (
        bytes.fromhex(block.split("```")[0]) for block in document.split("## Examples")[1].split("```hex")[1:]
    )
    header = Header("0011223344556677", 8000, 1, 8000, 4, 2, 3, 64)
    picture = Picture(b"GIF89a", "image/gif", 3, "x")
    for data, tags, pictures in ((short, {}, ()), (archive, {"title": "x", "artist": "A\0B"}, (picture,))):
        reader = read_example(tmp_path / "x.nac", data)
        assert (reader.tags, reader.pictures, reader.header.short) == (tags, pictures, data is short)
        with PacketWriter(tmp_path / "y.nac", header, EXAMPLE_CODER, tags, pictures) as writer:
            writer.write(np.array([CODES]))
            writer.finish(45)
        assert (tmp_path / "y.nac").read_bytes() == data
    read_example(tmp_path / "x.nac", live)
    head = replace(header, live=True, variable=True, packet_frames=1)
    sender = LiveWriter(sent := io.BytesIO(), head, FixedWidthCoder(8))
    sender.write(LIVE_CODES[..., :2])
    sender.finish(LIVE_CODES[..., 2:], 9)
    assert sent.getvalue() == live


@pytest.mark.parametrize("data", [VERSION_1, VERSION_2, VERSION_2_LIVE], ids=["1", "2", "2 live"])
def test_older_versions_are_read(tmp_path, data):
    path = tmp_path / "x.nac"
    reader = read_example(path, data)
    assert reader.header.version == data[4] and reader.payload_bytes == (5 if reader.header.live else 12)
    assert reader.tags == ({"title": "x"} if data is VERSION_2 else {})
    # a stream cut behind the first of its two ends is one that lost its last frames
    for size in range(58 if reader.header.live else len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(UserError):
            read_nac_header(path)
    for place in range(58 if reader.header.live else len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 9]) + data[place + 1 :])
        coder = FixedWidthCoder(8) if reader.header.live else EXAMPLE_CODER
        with pytest.raises(UserError):
            with PacketReader(path) as damaged:
                assert damaged.header == reader.header or place >= 58
                list(damaged.codes(coder))
    if not reader.header.live:
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with PacketReader(path) as damaged:
            lost = [(one.first, one.frames, one.codes is None) for one in damaged.packets(EXAMPLE_CODER)]
            assert lost == [(0, 12, data is VERSION_1)]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("packets", [0, 1, 16, 17])
def test_new_tags_make_a_file_of_an_older_version_one_of_the_present_one(tmp_path, version, packets):
    codes = np.random.default_rng(1).integers(0, 8, (1, 2, 2 * packets))
    header = Header("0011223344556677", 8000, 1, 8000, 4, 2, 3, 2)
    samples = max(0, 4 * codes.shape[2] - 1)
    (tmp_path / "a.nac").write_bytes(old_file(version, header, codes, EXAMPLE_CODER, samples))
    replace_metadata(tmp_path / "a.nac", {"title": "x"}, ())
    with PacketWriter(tmp_path / "b.nac", header, EXAMPLE_CODER, {"title": "x"}) as writer:
        writer.write(codes)
        writer.finish(samples)
    assert (tmp_path / "a.nac").read_bytes() == (tmp_path / "b.nac").read_bytes()


def test_new_tags_keep_an_old_stream_and_refuse_damage(tmp_path):
    (tmp_path / "a.nac").write_bytes(VERSION_2_LIVE)
    replace_metadata(tmp_path / "a.nac", {"title": "x"}, ())
    reader = read_example(tmp_path / "b.nac", (tmp_path / "a.nac").read_bytes())
    assert (reader.header.version, reader.tags) == (3, {"title": "x"})
    damaged = VERSION_1[:-1] + bytes([VERSION_1[-1] ^ 1])
    (tmp_path / "a.nac").write_bytes(damaged)
    with pytest.raises(UserError):
        replace_metadata(tmp_path / "a.nac", {"title": "x"}, ())
    assert (tmp_path / "a.nac").read_bytes() == damaged


class CountedCoder:
    """Stand-in for a coder of frames with different numbers of codes: payloads are opaque to the container."""

    def encode(self, codes, variable):
        return codes.astype("<i2").tobytes()

    def decode_packets(self, payloads, channels, codebooks, frames, variable):
        assert variable and all(len(data) == 2 * channels * codebooks * frames for data in payloads)
        return [np.frombuffer(data, "<i2").astype(np.int64).reshape(channels, codebooks, frames) for data in payloads]


def test_variable_numbers_of_codes_are_a_flag(tmp_path):
    codes = np.random.default_rng(0).integers(-1, 1000, (2, 3, 20))
    header = replace(HEADER, variable=True, target_bps=6000)
    with PacketWriter(tmp_path / "x.nac", header, CountedCoder()) as writer:
        writer.write(codes)
        writer.finish(samples_for(20))
    data = (tmp_path / "x.nac").read_bytes()
    assert data[4] == 0x43  # version 3, short, variable
    with PacketReader(tmp_path / "x.nac") as reader:
        assert reader.header.variable and reader.header.target_bps == 6000
        np.testing.assert_array_equal(np.concatenate(list(reader.codes(CountedCoder())), 2), codes)
