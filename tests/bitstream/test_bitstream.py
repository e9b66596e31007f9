"""Range coding and the .nac container, against a coder and a reader written from docs/bitstream.md with other means."""

import io
import json
import tracemalloc
import zlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.bitstream.framing import PACKET_OVERHEAD_BYTES, frame_packet
from codec.bitstream.header import HEADER_BYTES, Header, max_payload_bytes
from codec.bitstream.live import FixedWidthCoder
from codec.bitstream.live_writer import LiveWriter
from codec.bitstream.range_coder import RangeCoder
from codec.bitstream.reader import PacketReader, read_header
from codec.bitstream.writer import PacketWriter
from codec.errors import UserError
from codec.model.frequency_tables import FrequencyTables
from tests import fuzz_nac

HEADER = Header(
    fingerprint="0123456789abcdef",
    sample_rate=22050,
    channels=2,
    model_rate=16000,
    latent_hop=320,
    codebooks=3,
    bits_per_code=10,
    packet_frames=8,
    receptive_frames=25,
)


WORD = 1 << 32


def tables(codebooks: int, size: int, skew: float, seed: int = 0) -> np.ndarray:
    """Frequencies from even (0) to a few codes that have almost everything (10 or so)."""
    shares = np.exp(skew * np.random.default_rng(seed).standard_normal((codebooks, size)))
    fitted = FrequencyTables(codebooks, size)
    fitted.fit(torch.from_numpy((1e5 * shares / shares.sum(1, keepdims=True)).astype(np.int64)))
    return fitted.frequencies.numpy()


def coder_of(frequencies: np.ndarray) -> RangeCoder:
    module = FrequencyTables(*frequencies.shape)
    module.frequencies.copy_(torch.from_numpy(frequencies))
    return RangeCoder(module.to_numpy())


TABLES = tables(3, 1000, 2.0)
CODER = coder_of(TABLES)


def encode_by_the_book(codes: list[tuple[list[int], int]]) -> bytes:
    """The document's encoder in whole numbers of any size: ``codes`` are pairs of a table and a code."""
    written, lower, span, shifts = 0, 0, 2**64 - 1, 0  # ``lower`` with all carries, ``shifts`` words ago
    for table, code in codes:
        scale = span >> 24
        lower, span = lower + scale * sum(table[:code]), scale * table[code]
        if span < WORD:
            lower, span, shifts = lower << 32, span << 32, shifts + 1
    point = (lower + WORD - 1) >> 32
    written = point
    words = shifts + 1
    if (lower + span) >> 32 == point:
        written, words = written << 32, words + 1
    return b"".join((written >> 32 * i & WORD - 1).to_bytes(4, "little") for i in reversed(range(words)))


def decode_by_the_book(payload: bytes, per_code: list[list[int]]) -> list[int]:
    """The document's decoder in plain Python; ``per_code``: the table of each code."""
    words = [int.from_bytes(payload[i : i + 4], "little") for i in range(0, len(payload), 4)]
    following = iter(words)
    lower, span = 0, 2**64 - 1
    point = next(following, 0) << 32 | next(following, 0)
    codes = []
    for table in per_code:
        scale = span >> 24
        quantile, code, left = (point - lower) % 2**64 // scale, 0, 0
        assert quantile < 1 << 24
        while quantile >= left + table[code]:
            left, code = left + table[code], code + 1
        codes.append(code)
        lower, span = (lower + scale * left) % 2**64, scale * table[code]
        if span < WORD:
            lower, span, point = (lower << 32) % 2**64, span << 32, (point << 32) % 2**64 | next(following, 0)
    assert next(following, None) is None and (point - lower) % 2**64 < 2 * WORD - 1
    return codes


shapes = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 40))


@given(shapes, st.integers(2, 300), st.sampled_from([0.0, 1.0, 4.0, 40.0]), st.booleans(), st.integers(0, 2**32))
@settings(deadline=None)
def test_range_coder_is_what_the_document_says(shape, size, skew, likely, seed):
    """Codes as likely as their tables say, or all alike, which needs long payloads and carries."""
    frequencies, rng = tables(shape[1], size, skew, seed), np.random.default_rng(seed)
    pick = lambda row: rng.choice(size, (shape[0], shape[2]), p=row / row.sum() if likely else None)  # noqa: E731
    codes = np.stack([pick(row) for row in frequencies], 1)
    data = coder_of(frequencies).encode(codes)
    np.testing.assert_array_equal(coder_of(frequencies).decode(data, *shape), codes)
    order = [int(code) for codebook in range(shape[1]) for code in codes[:, codebook].ravel()]
    used = [row.tolist() for row in frequencies for _ in range(shape[0] * shape[2])]
    assert encode_by_the_book(list(zip(used, order))) == data
    assert decode_by_the_book(data, used) == order
    assert 4 <= len(data) <= max_payload_bytes(codes.size)


@pytest.mark.parametrize("ends", [(1, 0), (0, 1)])
def test_extreme_tables(ends):
    """A code that costs 24 bits, next to one that costs next to nothing: no payload is longer than is allowed for."""
    frequencies = np.full((1, 2), 1)
    frequencies[0, ends[0]] = (1 << 24) - 1
    coder = coder_of(frequencies)
    for codes in (np.full((1, 1, 255), ends[0]), np.full((1, 1, 255), ends[1]), np.arange(255).reshape(1, 1, -1) % 2):
        data = coder.encode(codes)
        np.testing.assert_array_equal(coder.decode(data, 1, 1, 255), codes)
        assert decode_by_the_book(data, frequencies.tolist() * 255) == codes.ravel().tolist()
        assert len(data) <= max_payload_bytes(255)


@pytest.mark.parametrize("size, skew", [(2, 0.0), (1000, 0.0), (1024, 0.0), (1024, 1.0), (1024, 3.0), (6561, 1.0)])
def test_payloads_have_the_size_that_theory_allows(size, skew):
    frequencies = tables(4, size, skew)
    rng = np.random.default_rng(1)
    codes = np.stack([rng.choice(size, (2, 64), p=row / row.sum()) for row in frequencies], 1)
    bits = sum((24 - np.log2(row))[codes[:, i]].sum() for i, row in enumerate(frequencies))
    assert bits / 8 <= len(coder_of(frequencies).encode(codes)) <= 1.01 * bits / 8 + 8


def test_coder_refuses_what_does_not_fit():
    for wrong in (-1, 1000, 1 << 33):
        with pytest.raises(ValueError):
            CODER.encode(np.full((1, 3, 2), wrong))
    with pytest.raises(ValueError):
        CODER.encode(np.zeros((1, 4, 2), np.int64))
    for wrong in ([[1 << 23, 1 << 22]], [[1 << 24, 0]], [[(1 << 24) + 1, -1]]):
        with pytest.raises(ValueError):
            coder_of(np.array(wrong))
    data = CODER.encode(np.full((1, 3, 8), 7))
    for wrong in (data + b"\0", data[:-1], data + bytes(400), bytes(4) + data, data + data, b"\xff" * len(data)):
        with pytest.raises(ValueError):
            CODER.decode(wrong, 1, 3, 8)


@given(st.binary(max_size=200), st.integers(1, 4), st.integers(1, 3), st.integers(1, 70))
@settings(deadline=None, max_examples=1000)
def test_any_bytes_decode_to_codes_in_range_or_an_error(data, channels, codebooks, frames):
    try:
        codes = CODER.decode(data, channels, codebooks, frames)
    except ValueError:
        return
    assert codes.shape == (channels, codebooks, frames) and 0 <= codes.min() and codes.max() < 1000


def samples_for(frames: int) -> int:
    """A sample count that so many latent frames make."""
    return int((frames - 0.5) * HEADER.latent_hop * HEADER.sample_rate / HEADER.model_rate)


def write(path: Path, frames: int, seed: int = 0, header: Header = HEADER, tags: dict | None = None) -> np.ndarray:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 1000, (header.channels, header.codebooks, frames))
    with PacketWriter(path, header, CODER, tags) as writer:
        cuts = np.sort(rng.integers(0, frames + 1, 4))
        for part in np.split(codes, cuts, axis=2):
            writer.write(part)
        writer.finish(samples_for(frames) if frames else 0)
    return codes


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
def test_file_is_what_the_document_says(tmp_path, frames):
    path, tags = tmp_path / "x.nac", {"title": "Zwölf", "date": "2024"} if frames % 2 else {}
    codes = write(path, frames, tags=tags)
    fields, packets, found = parse_by_the_book(path.read_bytes())
    assert found == tags
    assert fields == {
        "fingerprint": int.from_bytes(bytes.fromhex(HEADER.fingerprint), "little"),
        "rate": 22050, "model_rate": 16000, "hop": 320, "samples": samples_for(frames) if frames else 0,
        "frames": frames, "channels": 2, "codebooks": 3, "bits": 10, "per_packet": 8,
        "receptive": 25, "target": 0,
    }  # fmt: skip
    assert packets == [codes[..., at : at + 8].swapaxes(0, 1).ravel().tolist() for at in range(0, frames, 8)]


@pytest.mark.parametrize("frames", [0, 1, 8, 29, 300])
def test_reader_gives_back_what_was_written(tmp_path, frames):
    path = tmp_path / "x.nac"
    codes = write(path, frames, tags={"title": "x"})
    with PacketReader(path) as reader:
        packets = list(reader.codes(CODER))
        assert reader.header == replace(HEADER, samples=samples_for(frames) if frames else 0, frames=frames)
        assert reader.tags == {"title": "x"} and not reader.tags_damaged
        assert len(packets) == reader.header.packets and reader.damaged_packets() == []
    with PacketReader(path) as reader:
        list(reader.codes(CODER))
        assert path.stat().st_size == reader.file_bytes
        assert reader.payload_bytes == sum(len(CODER.encode(codes)) for codes in packets)
    if frames:
        np.testing.assert_array_equal(np.concatenate(packets, axis=2), codes)


def test_reading_begins_at_any_packet(tmp_path):
    path = tmp_path / "x.nac"
    codes = write(path, 300)
    with PacketReader(path) as reader:
        for first in (0, 1, 15, 16, 17, 33, 37):
            packets = list(reader.packets(CODER, first))
            assert packets[0].first == 8 * first
            np.testing.assert_array_equal(np.concatenate([one.codes for one in packets], 2), codes[..., 8 * first :])


def test_overhead_is_what_is_stated(tmp_path):
    """6.25 bytes around each packet of usual length, and 62 around the whole."""
    path = tmp_path / "x.nac"
    write(path, 16 * 64 * 8, header=replace(HEADER, packet_frames=64))
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


VERSION_1 = bytes.fromhex("""
89 4e 41 43 01 00 34 00 00 11 22 33 44 55 66 77 40 1f 00 00 40 1f 00 00 04 00 00 00 2d 00 00 00
00 00 00 00 0c 00 00 00 00 00 00 00 01 02 03 40 7a d5 54 bd 0c 00 00 00 8a fa 16 54 ab 9c 83 ab
d6 c9 12 ef 00 00 20 0c""")
"""The example of version 1, with the codes of that of version 2."""


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


def one_line(error: pytest.ExceptionInfo[UserError], path: Path) -> str:
    text = str(error.value)
    assert str(path) in text and "\n" not in text
    return text


def test_every_truncation_is_seen_at_once(tmp_path):
    path = tmp_path / "x.nac"
    write(path, 20, tags={"title": "x"})
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError) as error:
            read_header(path)
        word = "empty" if size == 0 else "tags" if HEADER_BYTES <= size < HEADER_BYTES + 17 else "truncated"
        assert word in one_line(error, path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(UserError, match="1 bytes follow"):
        read_header(path)


def test_every_flipped_byte_is_seen(tmp_path):
    path = tmp_path / "x.nac"
    write(path, 20, tags={"title": "x"})
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for place in range(len(whole)):
        broken = bytearray(whole)
        broken[place] ^= rng.integers(1, 256)
        path.write_bytes(broken)
        with pytest.raises(UserError) as error:
            with PacketReader(path) as reader:
                list(reader.codes(CODER))
        one_line(error, path)


def ends_of(data: bytes, start: int = HEADER_BYTES) -> list[int]:
    """Where packets start, and the last one ends."""
    ends = [start]
    while len(data) - ends[-1] > 16:  # what is shorter is the index
        length = data[ends[-1]] & 127
        two = data[ends[-1]] > 127
        length += (data[ends[-1] + 1] << 7) * two
        ends.append(ends[-1] + 1 + two + length + 4)
    return ends


def there(path: Path, codes: np.ndarray, size: int = 8) -> list[bool]:
    """Which packets are read, and that what is read is what was written."""
    with PacketReader(path) as reader:
        packets = list(reader.packets(CODER))
        assert reader.damaged_packets() == [one.first // size for one in packets if one.codes is None]
    for number, one in enumerate(packets):
        assert (one.first, one.frames) == (size * number, min(size, codes.shape[2] - size * number))
        if one.codes is not None:
            np.testing.assert_array_equal(one.codes, codes[..., one.first : one.first + one.frames])
    return [one.codes is not None for one in packets]


@pytest.mark.parametrize("indexed", [True, False])
def test_damage_costs_its_packet_alone(tmp_path, indexed):
    """Wherever a byte is wrong, in lengths and checksums too, with the index and without it."""
    path = tmp_path / "x.nac"
    codes = write(path, 300)
    whole = path.read_bytes()
    ends = ends_of(whole)
    assert len(ends) == 39
    if not indexed:
        whole = whole[: ends[-1]]
    rng = np.random.default_rng(2)
    for packet in (0, 1, 14, 15, 16, 36, 37):
        start, end = ends[packet], ends[packet + 1]
        for place in (start, start + 1, start + 2, end - 4, end - 1, *rng.integers(start, end, 10)):
            broken = bytearray(whole)
            broken[place] ^= rng.integers(1, 256)
            path.write_bytes(broken)
            expected = [number != packet for number in range(38)]
            found = there(path, codes)
            # nothing behind the last packet says where it would end, if its own length does not
            assert found == expected or (not indexed and packet == 37 and found == expected[:37])


@pytest.mark.parametrize("indexed", [True, False])
def test_what_is_whole_is_found_behind_what_is_not(tmp_path, indexed):
    path = tmp_path / "x.nac"
    codes = write(path, 300)
    whole = path.read_bytes()
    ends = ends_of(whole)
    rng = np.random.default_rng(3)
    for _ in range(20):
        first, last = np.sort(rng.integers(0, 38, 2))
        broken = bytearray(whole if indexed else whole[: ends[-1]])
        start, end = ends[first] + 1, ends[last + 1] - 1
        broken[start:end] = rng.integers(0, 256, end - start, np.uint8).tobytes()
        path.write_bytes(broken)
        found = there(path, codes)
        assert found == [not first <= number <= last for number in range(38)][: len(found)]
        assert len(found) == 38 or (last == 37 and not indexed)


def test_bytes_that_are_missing_or_too_many_cost_what_they_touch(tmp_path):
    path = tmp_path / "x.nac"
    codes = write(path, 300)
    whole = path.read_bytes()
    ends = ends_of(whole)
    path.write_bytes(whole[: ends[5]] + whole[ends[7] :])  # two packets are gone altogether
    assert there(path, codes) == [number not in (5, 6) for number in range(38)]
    path.write_bytes(whole[: ends[5] + 9] + whole[ends[7] - 3 :])
    assert there(path, codes) == [number not in (5, 6) for number in range(38)]
    path.write_bytes(whole[: ends[5] + 9] + bytes(99) + whole[ends[5] + 9 :])
    assert there(path, codes) == [number != 5 for number in range(38)]
    path.write_bytes(whole[: ends[5]] + bytes(99) + whole[ends[5] :])
    assert there(path, codes)[6:] == [True] * 32
    path.write_bytes(whole[:HEADER_BYTES] + whole[ends[1] : ends[2]] + whole[ends[0] : ends[1]] + whole[ends[2] :])
    assert there(path, codes)[2:] == [True] * 36  # changed places


def test_truncated_file_is_read_up_to_the_cut(tmp_path):
    path = tmp_path / "x.nac"
    codes = write(path, 300)
    whole = path.read_bytes()
    ends = ends_of(whole)
    for size in range(HEADER_BYTES, len(whole), 37):
        path.write_bytes(whole[:size])
        assert there(path, codes) == [True] * sum(end <= size for end in ends[1:])


def test_damaged_packet_is_named(tmp_path):
    path = tmp_path / "x.nac"
    write(path, 20)
    data = bytearray(path.read_bytes())
    data[ends_of(data)[1] + 30] ^= 16
    path.write_bytes(data)
    with PacketReader(path) as reader:
        with pytest.raises(UserError, match=r"packet 2 of 3 \(from 0.16 s\) is damaged"):
            list(reader.codes(CODER))


def test_damaged_tags_are_left_out(tmp_path):
    path = tmp_path / "x.nac"
    codes = write(path, 20, tags={"title": "x"})
    whole = path.read_bytes()
    for place in range(HEADER_BYTES, HEADER_BYTES + 17):
        path.write_bytes(whole[:place] + b"\xff" + whole[place + 1 :])
        assert there(path, codes) == [True] * 3
        with PacketReader(path) as reader:
            assert reader.tags == {} and reader.tags_damaged
    for text in (b"[]", b"{", b'{"a":1}', b"\xff", b'{"a":"\\ud800"}', b"[" * 9999, b"1" * 9999):
        block = text + zlib.crc32(text).to_bytes(4, "little")
        head = bytearray(whole[:HEADER_BYTES])
        head[6:8] = (HEADER_BYTES + len(block)).to_bytes(2, "little")
        head[54:58] = zlib.crc32(head[:54]).to_bytes(4, "little")
        path.write_bytes(head + block + whole[HEADER_BYTES + 17 :])
        assert there(path, codes) == [True] * 3
        with PacketReader(path) as reader:
            assert reader.tags_damaged


class CountedCoder:
    """Stands for a coder of frames with different numbers of codes: its payloads are opaque to the container."""

    def encode(self, codes, variable):
        return codes.astype("<i2").tobytes()

    def decode(self, data, channels, codebooks, frames, variable):
        assert variable
        if len(data) != 2 * channels * codebooks * frames:
            raise ValueError("length")
        return np.frombuffer(data, "<i2").astype(np.int64).reshape(channels, codebooks, frames)


def test_variable_is_a_flag(tmp_path):
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


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_hostile_packets_with_right_checksums(tmp_path_factory, data):
    """Payloads of any bytes: codes in range or one line, at the memory of one packet."""
    head = replace(HEADER, frames=data.draw(st.integers(1, 20)), channels=data.draw(st.integers(1, 255)))
    head = replace(head, samples=samples_for(head.frames))
    packets = b"".join(frame_packet(i, data.draw(st.binary(min_size=1, max_size=40))) for i in range(head.packets))
    index = len(packets).to_bytes(4, "little")
    path = tmp_path_factory.getbasetemp() / "hostile.nac"
    path.write_bytes(head.to_bytes() + packets + index + zlib.crc32(index).to_bytes(4, "little"))
    with PacketReader(path) as reader:
        found = list(reader.packets(CODER))
        assert sum(packet.frames for packet in found) == head.frames
        for packet in found:
            assert packet.codes is None or (0 <= packet.codes.min() and packet.codes.max() < 1000)


def test_other_files_and_versions(tmp_path):
    path = tmp_path / "x.nac"
    write(path, 3)
    version_3 = bytearray(path.read_bytes())
    version_3[4] = 3
    version_3[54:58] = zlib.crc32(version_3[:54]).to_bytes(4, "little")
    flagged = bytearray(path.read_bytes())
    flagged[5] = 4
    flagged[54:58] = zlib.crc32(flagged[:54]).to_bytes(4, "little")
    for content, words in [
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not a .nac file"),
        (b"RIFF", "not a .nac file"),
        (bytes(version_3), "version 3"),
        (bytes(flagged), "flags 0x04"),
    ]:
        path.write_bytes(content)
        with pytest.raises(UserError, match=words) as error:
            read_header(path)
        one_line(error, path)
    for missing in (tmp_path / "none.nac", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            read_header(missing)


@given(
    st.fixed_dictionaries(
        {
            "sample_rate": st.integers(0, 2**32 - 1),
            "model_rate": st.integers(0, 2**32 - 1) | st.just(16000),
            "latent_hop": st.integers(0, 2**32 - 1) | st.just(320),
            "samples": st.integers(0, 2**64 - 1) | st.integers(0, 100000),
            "channels": st.integers(0, 255),
            "codebooks": st.integers(0, 255),
            "bits_per_code": st.integers(0, 255),
            "packet_frames": st.integers(0, 255),
        }
    ),
    st.integers(0, 2**64 - 1) | st.none(),
)
@settings(deadline=None, max_examples=300)
def test_crafted_header_costs_no_memory(tmp_path_factory, values, frames):
    """Right checksum, wrong values: an error, before anything is allocated for them."""
    header = replace(HEADER, **values)
    if frames is None and header.sample_rate and header.latent_hop:  # the one count that is not absurd
        frames = min(2**64 - 1, header.model_samples // header.latent_hop + 1)
    path = tmp_path_factory.getbasetemp() / "crafted.nac"
    path.write_bytes(replace(header, frames=frames or 0).to_bytes())
    tracemalloc.start()
    try:
        with PacketReader(path) as reader:
            assert list(reader.packets(CODER)) == [] and reader.damaged_packets() == []
            assert reader.header.frames == 0 or read_header(path)
    except UserError as error:
        assert "\n" not in str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1 << 20


def test_nothing_appears_without_finish(tmp_path):
    path = tmp_path / "x.nac"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        with PacketWriter(path, HEADER, CODER) as writer:
            writer.write(np.zeros((2, 3, 100), np.int64))
            raise KeyboardInterrupt
    assert [file.name for file in tmp_path.iterdir()] == ["x.nac"] and path.read_bytes() == b"old"


def test_writer_refuses_what_the_format_cannot_hold(tmp_path):
    for wrong in ({"channels": 256}, {"sample_rate": 100}, {"codebooks": 0}, {"bits_per_code": 25}):
        with pytest.raises(UserError, match="cannot hold"):
            PacketWriter(tmp_path / "x.nac", replace(HEADER, **wrong), CODER)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be written"):
        PacketWriter(tmp_path / "file" / "x.nac", HEADER, CODER)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_mutated_files_are_read_or_refused(tmp_path):
    """A sample of what tests/fuzz_nac.py tries."""
    outcomes = fuzz_nac.fuzz(3000, 1, tmp_path)
    assert min(outcomes[came] for came in ("refused", "damage concealed", "nothing left", "read")) > 20
