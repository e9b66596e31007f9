"""Packing and the .nac container, against a reader written from docs/bitstream.md with other means."""

import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from codec.bitstream.container import HEADER_BYTES, Header, Reader, Writer, read_header
from codec.bitstream.packing import pack, packed_bytes, unpack
from codec.errors import UserError

HEADER = Header(
    fingerprint="0123456789abcdef",
    sample_rate=22050,
    channels=2,
    model_rate=16000,
    latent_hop=320,
    codebooks=3,
    bits_per_code=10,
    packet_frames=8,
)


def as_bits(codes: np.ndarray, bits: int) -> str:
    return "".join(format(int(code), f"0{bits}b") for code in codes.ravel())


@given(st.integers(1, 24), st.integers(1, 5), st.integers(0, 70), st.randoms(use_true_random=False))
@example(24, 1, 1, None)
@settings(deadline=None)
def test_packing_keeps_every_code_and_wastes_no_bit(bits, quantizers, frames, random):
    top = (1 << bits) - 1
    pick = (lambda: random.choice([0, top, random.randint(0, top)])) if random else (lambda: top)
    codes = np.array([[pick() for _ in range(frames)] for _ in range(quantizers)]).reshape(quantizers, frames)
    data = pack(codes, bits)
    text = as_bits(codes, bits)
    assert len(data) == packed_bytes(codes.size, bits) == -(-len(text) // 8)
    assert "".join(format(byte, "08b") for byte in data) == text.ljust(8 * len(data), "0")
    np.testing.assert_array_equal(unpack(data, quantizers, frames, bits), codes)


@pytest.mark.parametrize("code, bits", [(-1, 10), (1024, 10), (2, 1), (1 << 24, 24), (1 << 40, 24), (0, 0), (0, 25)])
def test_packing_refuses_what_does_not_fit(code, bits):
    with pytest.raises(ValueError):
        pack(np.array([[0, code]]), bits)


def test_unpacking_refuses_wrong_length_and_stray_bits():
    data = pack(np.array([[5, 6, 7]]), 3)
    for wrong in (data + b"\0", data[:-1], bytes([data[0], data[1] | 1])):
        with pytest.raises(ValueError):
            unpack(wrong, 1, 3, 3)


def samples_for(frames: int) -> int:
    """A sample count that so many latent frames make."""
    return int((frames - 0.5) * HEADER.latent_hop * HEADER.sample_rate / HEADER.model_rate)


def write(path: Path, frames: int, seed: int = 0, header: Header = HEADER) -> np.ndarray:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 1 << header.bits_per_code, (header.channels, header.codebooks, frames))
    with Writer(path, header) as writer:
        cuts = np.sort(rng.integers(0, frames + 1, 4))
        for part in np.split(codes, cuts, axis=2):
            writer.write(part)
        writer.finish(samples_for(frames) if frames else 0)
    return codes


def parse_by_the_book(data: bytes) -> tuple[dict[str, int], list[list[int]]]:
    """The document in plain Python: header fields, and the codes of each packet in order of storage."""
    number = lambda at, size: int.from_bytes(data[at : at + size], "little")  # noqa: E731
    assert data[:4] == b"\x89NAC" and data[4] == 1 and data[5] == 0
    start = number(6, 2)
    layout = [
        ("fingerprint", 8, 8),
        ("rate", 16, 4),
        ("model_rate", 20, 4),
        ("hop", 24, 4),
        ("samples", 28, 8),
    ]
    layout += [
        ("frames", 36, 8),
        ("channels", 44, 1),
        ("codebooks", 45, 1),
        ("bits", 46, 1),
        ("per_packet", 47, 1),
    ]
    fields = {name: number(at, size) for name, at, size in layout}
    assert number(48, 4) == zlib.crc32(data[:48])
    packets, left, index = [], fields["frames"], 0
    while left:
        frames = min(left, fields["per_packet"])
        length, checksum = number(start, 4), number(start + 4, 4)
        payload = data[start + 8 : start + 8 + length]
        assert checksum == zlib.crc32(index.to_bytes(8, "little") + length.to_bytes(4, "little") + payload)
        text = "".join(format(byte, "08b") for byte in payload)
        count, bits = frames * fields["channels"] * fields["codebooks"], fields["bits"]
        packets.append([int(text[i * bits : (i + 1) * bits], 2) for i in range(count)])
        start, left, index = start + 8 + length, left - frames, index + 1
    assert start == len(data)
    return fields, packets


@pytest.mark.parametrize("frames", [0, 1, 7, 8, 9, 40])
def test_file_is_what_the_document_says(tmp_path, frames):
    path = tmp_path / "x.nac"
    codes = write(path, frames)
    fields, packets = parse_by_the_book(path.read_bytes())
    assert fields == {
        "fingerprint": int.from_bytes(bytes.fromhex(HEADER.fingerprint), "little"),
        "rate": 22050, "model_rate": 16000, "hop": 320, "samples": samples_for(frames) if frames else 0,
        "frames": frames, "channels": 2, "codebooks": 3, "bits": 10, "per_packet": 8,
    }  # fmt: skip
    assert packets == [codes[..., at : at + 8].ravel().tolist() for at in range(0, frames, 8)]


@pytest.mark.parametrize("frames", [0, 1, 8, 29])
def test_reader_gives_back_what_was_written(tmp_path, frames):
    path = tmp_path / "x.nac"
    codes = write(path, frames)
    with Reader(path) as reader:
        packets = list(reader)
        assert reader.header == replace(HEADER, samples=samples_for(frames) if frames else 0, frames=frames)
        assert len(packets) == reader.header.packets and reader.damaged_packets() == []
        assert path.stat().st_size == reader.header.file_bytes
    if frames:
        np.testing.assert_array_equal(np.concatenate(packets, axis=2), codes)


def test_example_in_the_document(tmp_path):
    document = (Path(__file__).parents[1] / "docs" / "bitstream.md").read_text()
    (tmp_path / "x.nac").write_bytes(bytes.fromhex(document.split("```")[1]))
    with Reader(tmp_path / "x.nac") as reader:
        assert (reader.header.samples, reader.header.fingerprint) == (5, "0011223344556677")
        assert [packet.tolist() for packet in reader] == [[[[5, 2], [7, 0]]]]


def one_line(error: pytest.ExceptionInfo[UserError], path: Path) -> str:
    text = str(error.value)
    assert str(path) in text and "\n" not in text
    return text


def test_every_truncation_is_seen_at_once(tmp_path):
    path = tmp_path / "x.nac"
    write(path, 20)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError) as error:
            read_header(path)
        word = "empty" if size == 0 else "truncated"
        assert word in one_line(error, path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(UserError, match="1 bytes follow"):
        read_header(path)


def test_every_flipped_byte_is_seen(tmp_path):
    path = tmp_path / "x.nac"
    write(path, 20)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for place in range(len(whole)):
        broken = bytearray(whole)
        broken[place] ^= rng.integers(1, 256)
        path.write_bytes(broken)
        with pytest.raises(UserError) as error:
            with Reader(path) as reader:
                list(reader)
        one_line(error, path)


def test_damaged_packet_is_named_and_the_others_stand(tmp_path):
    path = tmp_path / "x.nac"
    write(path, 20)
    data = bytearray(path.read_bytes())
    data[HEADER_BYTES + 8 + 60 + 8 + 30] ^= 16  # a full packet has 60 bytes of codes
    path.write_bytes(data)
    with Reader(path) as reader:
        assert reader.damaged_packets() == [1]
        with pytest.raises(UserError, match=r"packet 2 of 3 \(from 0.16 s\) is damaged"):
            list(reader)


def test_packets_cannot_change_places(tmp_path):
    path = tmp_path / "x.nac"
    write(path, 16)
    data = path.read_bytes()
    size = (len(data) - HEADER_BYTES) // 2
    first, second = data[HEADER_BYTES : HEADER_BYTES + size], data[HEADER_BYTES + size :]
    path.write_bytes(data[:HEADER_BYTES] + second + first)
    with Reader(path) as reader:
        assert reader.damaged_packets() == [0, 1]


def test_other_files_and_versions(tmp_path):
    path = tmp_path / "x.nac"
    write(path, 3)
    version_2 = bytearray(path.read_bytes())
    version_2[4] = 2
    flagged = bytearray(path.read_bytes())
    flagged[5] = 4
    flagged[48:52] = zlib.crc32(flagged[:48]).to_bytes(4, "little")
    for content, words in [
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not a .nac file"),
        (b"RIFF", "not a .nac file"),
        (bytes(version_2), "version 2"),
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
        with Reader(path) as reader:
            assert reader.header.frames == 0 and list(reader) == []
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
        with Writer(path, HEADER) as writer:
            writer.write(np.zeros((2, 3, 100), np.int64))
            raise KeyboardInterrupt
    assert [file.name for file in tmp_path.iterdir()] == ["x.nac"] and path.read_bytes() == b"old"


def test_writer_refuses_what_the_format_cannot_hold(tmp_path):
    for wrong in ({"channels": 256}, {"sample_rate": 100}, {"codebooks": 0}, {"bits_per_code": 25}):
        with pytest.raises(UserError, match="cannot hold"):
            Writer(tmp_path / "x.nac", replace(HEADER, **wrong))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be written"):
        Writer(tmp_path / "file" / "x.nac", HEADER)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
