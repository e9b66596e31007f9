"""The reader: what was written comes back, from any packet on."""

import zlib
from dataclasses import replace

import numpy as np
import pytest

from codec.bitstream.blocks import ESSENTIAL, block_bytes
from codec.bitstream.file_start import metadata_blocks, start_bytes
from codec.bitstream.reader import PacketReader, read_nac_header
from codec.errors import UserError
from tests.helpers.bitstreams import (
    CODER,
    HEADER,
    HEADER_BYTES,
    read_back,
    samples_for,
    write_packets,
)
from tests.helpers.old_versions import old_header, with_crc


@pytest.mark.parametrize("tags", [{}, {"title": "x"}])
@pytest.mark.parametrize("frames", [0, 1, 8, 29, 300])
def test_reading_returns_what_was_written(tmp_path, frames, tags):
    path = tmp_path / "x.nac"
    codes = write_packets(path, frames, tags=tags)
    with PacketReader(path) as reader:
        packets = list(reader.codes(CODER))
        expected = replace(read_back(HEADER), samples=samples_for(frames) if frames else 0, frames=frames)
        if frames <= 20 and not tags:
            expected = replace(expected, short=True, packet_frames=max(1, frames))
        assert reader.header == expected
        assert reader.tags == tags and not reader.tags_damaged
        assert len(packets) == reader.header.packets and reader.damaged_packets() == []
    with PacketReader(path) as reader:
        list(reader.codes(CODER))
        assert path.stat().st_size == reader.file_bytes
        assert reader.payload_bytes == sum(len(CODER.encode(codes)) for codes in packets)
    if frames:
        np.testing.assert_array_equal(np.concatenate(packets, axis=2), codes)


def test_reading_begins_at_any_packet(tmp_path):
    path = tmp_path / "x.nac"
    codes = write_packets(path, 300)
    with PacketReader(path) as reader:
        for first in (0, 1, 15, 16, 17, 33, 37):
            packets = list(reader.packets(CODER, first))
            assert packets[0].first == 8 * first
            np.testing.assert_array_equal(np.concatenate([one.codes for one in packets], 2), codes[..., 8 * first :])


def test_other_files_and_versions(tmp_path):
    path = tmp_path / "x.nac"
    write_packets(path, 3)
    version_4, profile_3 = (
        with_crc(path.read_bytes()[:4] + bytes([start]) + path.read_bytes()[5:-4]) for start in (0x24, 0x33)
    )
    flagged = bytearray(old_header(2, HEADER))
    flagged[5] = 4
    flagged[54:58] = zlib.crc32(flagged[:54]).to_bytes(4, "little")
    block = start_bytes(HEADER, block_bytes(ESSENTIAL, b"x"))
    for content, words in [
        (b"\x89PNG\r\n\x1a\n" + bytes(100), str(path)),
        (b"RIFF", str(path)),
        (version_4, "version 4"),
        (profile_3, "profile 3"),
        (bytes(flagged), "flags 0x04"),
        (block, "block 128"),
    ]:
        path.write_bytes(content)
        with pytest.raises(UserError, match=words) as error:
            read_nac_header(path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)
    for missing in (tmp_path / "none.nac", tmp_path):
        with pytest.raises(UserError, match=str(missing)):
            read_nac_header(missing)


def test_unknown_blocks_are_skipped(tmp_path):
    path = tmp_path / "x.nac"
    codes = write_packets(path, 21)
    data = path.read_bytes()[HEADER_BYTES:]
    blocks = block_bytes(99, b"?") + metadata_blocks({"title": "x"}) + block_bytes(100, bytes(300))
    path.write_bytes(start_bytes(replace(HEADER, frames=21, samples=samples_for(21)), blocks) + data)
    with PacketReader(path) as reader:
        assert reader.tags == {"title": "x"} and reader.blocks_bytes == len(blocks)
        np.testing.assert_array_equal(np.concatenate(list(reader.codes(CODER)), 2), codes)
