"""Damaged, cut off and hostile files: what is intact is read, and the rest is refused."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.audio.pictures import Picture
from codec.bitstream.blocks import PICTURE, TAGS, block_bytes
from codec.bitstream.file_start import metadata_blocks, short_file_bytes, start_bytes
from codec.bitstream.framing import frame_packet
from codec.bitstream.header_layout import header_bytes
from codec.bitstream.pictures import MAX_PICTURES, picture_bytes
from codec.bitstream.reader import PacketReader, read_nac_header
from codec.bitstream.varint import varint_bytes
from codec.errors import UserError
from tests import fuzz_nac
from tests.helpers import old_versions
from tests.helpers.bitstreams import (
    CODER,
    HEADER,
    HEADER_BYTES,
    ends_of,
    samples_for,
    write_packets,
)
from tests.helpers.old_versions import old_file, with_crc

KINDS = pytest.mark.parametrize(
    "frames, tags", [(20, {}), (21, {}), (20, {"title": "x"}), (136, {})], ids=["short", "bare", "tags", "index"]
)


def check_message(error: pytest.ExceptionInfo[UserError], path: Path) -> None:
    """Check that a message names the file, and is one line."""
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def intact_packets(path: Path, codes: np.ndarray, size: int = 8) -> list[bool]:
    """Return for each packet whether it is read; what is read must be what was written."""
    with PacketReader(path) as reader:
        packets = list(reader.packets(CODER))
        assert reader.damaged_packets() == [one.first // size for one in packets if one.codes is None]
    for number, one in enumerate(packets):
        assert (one.first, one.frames) == (size * number, min(size, codes.shape[2] - size * number))
        if one.codes is not None:
            np.testing.assert_array_equal(one.codes, codes[..., one.first : one.first + one.frames])
    return [one.codes is not None for one in packets]


@KINDS
def test_truncation_is_detected_when_opening(tmp_path, frames, tags):
    path = tmp_path / "x.nac"
    write_packets(path, frames, tags=tags)
    whole = path.read_bytes()
    for size in range(0, len(whole), 1 + len(whole) // 800):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError) as error:
            read_nac_header(path)
        check_message(error, path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(UserError, match=str(path)):
        read_nac_header(path)


@KINDS
def test_every_damaged_byte_is_detected(tmp_path, frames, tags):
    path = tmp_path / "x.nac"
    write_packets(path, frames, tags=tags)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for place in range(0, len(whole), 1 + len(whole) // 800):
        broken = bytearray(whole)
        broken[place] ^= rng.integers(1, 256)
        path.write_bytes(broken)
        with pytest.raises(UserError) as error:
            with PacketReader(path) as reader:
                list(reader.codes(CODER))
        check_message(error, path)


@pytest.mark.parametrize("version, indexed", [(3, True), (3, False), (2, True)])
def test_damage_costs_only_its_packet(tmp_path, version, indexed):
    """Wherever a byte is wrong, in lengths and checksums too, with the index and without it."""
    path = tmp_path / "x.nac"
    codes = write_packets(path, 300)
    whole, start = path.read_bytes(), HEADER_BYTES
    if version == 2:
        whole, start = old_file(2, HEADER, codes, CODER, samples_for(300)), old_versions.HEADER_BYTES[2]
    ends = ends_of(whole, start)
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
            found = intact_packets(path, codes)
            # nothing behind the last packet says where it would end, if its own length does not
            assert found == expected or (not indexed and packet == 37 and found == expected[:37])


@pytest.mark.parametrize("indexed", [True, False])
def test_intact_packets_are_found_behind_damage(tmp_path, indexed):
    path = tmp_path / "x.nac"
    codes = write_packets(path, 300)
    whole = path.read_bytes()
    ends = ends_of(whole)
    rng = np.random.default_rng(3)
    for _ in range(20):
        first, last = np.sort(rng.integers(0, 38, 2))
        broken = bytearray(whole if indexed else whole[: ends[-1]])
        start, end = ends[first] + 1, ends[last + 1] - 1
        broken[start:end] = rng.integers(0, 256, end - start, np.uint8).tobytes()
        path.write_bytes(broken)
        found = intact_packets(path, codes)
        assert found == [not first <= number <= last for number in range(38)][: len(found)]
        assert len(found) == 38 or (last == 37 and not indexed)


def test_missing_and_extra_bytes_cost_the_packets_they_touch(tmp_path):
    path = tmp_path / "x.nac"
    codes = write_packets(path, 300)
    whole = path.read_bytes()
    ends = ends_of(whole)
    path.write_bytes(whole[: ends[5]] + whole[ends[7] :])  # two packets are gone altogether
    assert intact_packets(path, codes) == [number not in (5, 6) for number in range(38)]
    path.write_bytes(whole[: ends[5] + 9] + whole[ends[7] - 3 :])
    assert intact_packets(path, codes) == [number not in (5, 6) for number in range(38)]
    path.write_bytes(whole[: ends[5] + 9] + bytes(99) + whole[ends[5] + 9 :])
    assert intact_packets(path, codes) == [number != 5 for number in range(38)]
    path.write_bytes(whole[: ends[5]] + bytes(99) + whole[ends[5] :])
    assert intact_packets(path, codes)[6:] == [True] * 32
    path.write_bytes(whole[:HEADER_BYTES] + whole[ends[1] : ends[2]] + whole[ends[0] : ends[1]] + whole[ends[2] :])
    assert intact_packets(path, codes)[2:] == [True] * 36  # changed places


def test_truncated_files_are_read_up_to_the_cut(tmp_path):
    path = tmp_path / "x.nac"
    codes = write_packets(path, 300)
    whole = path.read_bytes()
    ends = ends_of(whole)
    for size in range(HEADER_BYTES, len(whole), 37):
        path.write_bytes(whole[:size])
        assert intact_packets(path, codes) == [True] * sum(end <= size for end in ends[1:])


def test_damaged_packet_is_named(tmp_path):
    path = tmp_path / "x.nac"
    write_packets(path, 21)
    data = bytearray(path.read_bytes())
    data[ends_of(data)[1] + 30] ^= 16
    path.write_bytes(data)
    with PacketReader(path) as reader:
        with pytest.raises(UserError, match=r"packet 2 of 3 \(from 0.16 s\)"):
            list(reader.codes(CODER))


def test_damaged_tags_and_pictures_are_left_out(tmp_path):
    path, picture = tmp_path / "x.nac", Picture(b"GIF89a", "image/gif")
    codes = write_packets(path, 20)
    header = replace(HEADER, frames=20, samples=samples_for(20))
    packets = b"".join(frame_packet(i, CODER.encode(codes[..., at : at + 8])) for i, at in enumerate((0, 8, 16)))
    blocks = metadata_blocks({"title": "x"}, [picture])
    for place in range(len(blocks)):
        path.write_bytes(start_bytes(header, blocks[:place] + b"\xff" + blocks[place + 1 :]) + packets)
        with PacketReader(path) as reader:
            if blocks[place] == 0xFF:
                continue
            assert reader.tags_damaged and (reader.tags == {} or place > 12) and reader.pictures in ((), (picture,))
            with pytest.raises(UserError, match=str(path)):
                reader.check()
        assert intact_packets(path, codes) == [True] * 3
    wrong_tags = (b"\x01a", b"\x02=b", b"\x03a=\xff", b"\x04a=\0b", b"\x80" * 20)
    wrong_blocks = [block_bytes(TAGS, text) for text in wrong_tags]
    wrong_blocks += [block_bytes(PICTURE, text) for text in (b"", b"\3", b"\3\1\xff\0", b"\3\x7f\0")]
    for block in (*wrong_blocks, b"\1", b"\1\x80\x80", block_bytes(TAGS, b"")[:-1], block_bytes(9, b"x")[:-1] + b"x"):
        path.write_bytes(start_bytes(header, block) + packets)
        assert intact_packets(path, codes) == [True] * 3
        with PacketReader(path) as reader:
            assert reader.tags_damaged and not reader.tags and not reader.pictures


@pytest.mark.parametrize("text", [b"[]", b"{", b'{"a":1}', b"\xff", b'{"a":"\\ud800"}', b"[" * 9999, b"1" * 9999])
def test_damaged_tags_of_version_2_are_left_out(tmp_path, text):
    path = tmp_path / "x.nac"
    codes = write_packets(path, 20)
    whole = old_file(2, HEADER, codes, CODER, samples_for(20))
    size, block = old_versions.HEADER_BYTES[2], with_crc(text)
    head = whole[:6] + (size + len(block)).to_bytes(2, "little") + whole[8 : size - 4]
    path.write_bytes(with_crc(head) + block + whole[size:])
    assert intact_packets(path, codes) == [True] * 3
    with PacketReader(path) as reader:
        assert reader.tags_damaged and reader.tags == {}


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_hostile_packets_with_right_checksums(tmp_path_factory, data):
    """Payloads of any bytes: codes in range or one line, at the memory of one packet."""
    head = replace(HEADER, frames=data.draw(st.integers(1, 20)), channels=data.draw(st.integers(1, 255)))
    head = replace(head, samples=samples_for(head.frames))
    sizes = [min(40, head.max_payload_bytes(number)) for number in range(head.packets)]
    packets = b"".join(
        frame_packet(number, data.draw(st.binary(min_size=1, max_size=size))) for number, size in enumerate(sizes)
    )
    path = tmp_path_factory.getbasetemp() / "hostile.nac"
    path.write_bytes(start_bytes(head) + packets)
    with PacketReader(path) as reader:
        found = list(reader.packets(CODER))
        assert sum(packet.frames for packet in found) == head.frames
        for packet in found:
            assert packet.codes is None or (0 <= packet.codes.min() and packet.codes.max() < 1000)


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
    st.sampled_from([1, 2, 3]),
    st.none() | st.binary(max_size=40),
)
@settings(deadline=None, max_examples=200)
def test_crafted_header_costs_no_memory(tmp_path_factory, values, frames, version, short):
    """Right checksum, wrong values: an error, before anything is allocated for them."""
    if not (values["sample_rate"] and values["latent_hop"]):
        version = 2
    if version == 3:
        values["samples"] %= 2**62
    header = replace(HEADER, **values)
    if frames is None and header.sample_rate and header.latent_hop:  # the one count that is not absurd
        frames = min(2**64 - 1, header.model_samples // header.latent_hop + 1)
    path = tmp_path_factory.getbasetemp() / "crafted.nac"
    header = replace(header, frames=frames or 0)
    if version == 3:
        data = start_bytes(header) if short is None else short_file_bytes(replace(header, short=True), short)
    else:
        data = old_versions.old_header(version, header)
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with PacketReader(path) as reader:
            packets = list(reader.packets(CODER))
            assert reader.damaged_packets() == [] and (reader.header.short or not packets)
            assert reader.header.frames == 0 or read_nac_header(path)
    except UserError as error:
        assert "\n" not in str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1 << 20


def peak_bytes(path: Path) -> int:
    """Return the memory that reading a file takes at most, codes included."""
    tracemalloc.start()
    try:
        with PacketReader(path) as reader:
            list(reader.packets(CODER))
    except UserError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


@pytest.mark.parametrize("short", [True, False])
def test_codes_are_allocated_only_if_the_payload_can_hold_them(tmp_path, short):
    """255 channels of 250 frames, 1.5 MB of codes, in 12 bytes; more than can be in a file costs nothing either."""
    path, head = tmp_path / "x.nac", replace(HEADER, channels=255, packet_frames=250, frames=250, short=short)
    head = replace(head, samples=samples_for(250))
    path.write_bytes(short_file_bytes(head, bytes(12)) if short else start_bytes(head) + frame_packet(0, bytes(12)))
    with PacketReader(path) as reader:
        (packet,) = reader.packets(CODER)
    assert packet.codes is None and packet.frames == 250
    assert peak_bytes(path) < 300_000


def test_memory_is_bounded_by_the_size_of_the_file(tmp_path):
    """Tags and pictures as many or as large as they may be by their lengths."""
    path, head = tmp_path / "x.nac", replace(HEADER, frames=20, samples=samples_for(20))
    path.write_bytes(with_crc(header_bytes(head, 1 << 26)))
    assert peak_bytes(path) < 300_000
    pictures = 20_000 * block_bytes(PICTURE, picture_bytes(Picture(b"", "")))
    path.write_bytes(start_bytes(head, pictures))
    assert peak_bytes(path) < 8 * len(pictures)
    with PacketReader(path) as reader:
        assert len(reader.pictures) == MAX_PICTURES
    most = b"".join(varint_bytes(4) + f"{number:03x}=".encode() for number in range(3276))
    for tags, known in ((most, 3276), (most + b"\5last=", 0)):
        path.write_bytes(start_bytes(head, block_bytes(TAGS, tags)))
        with PacketReader(path) as reader:
            assert (len(reader.tags), reader.tags_damaged) == (known, not known)


def test_mutated_files_are_read_or_refused(tmp_path):
    """A sample of what tests/fuzz_nac.py tries."""
    outcomes = fuzz_nac.fuzz(3000, 1, tmp_path)
    assert min(outcomes[came] for came in ("refused", "damage concealed", "nothing left", "read")) > 20
