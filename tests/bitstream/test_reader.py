"""The reader: what was written comes back, from any packet on."""

import zlib
from dataclasses import replace

import numpy as np
import pytest

from codec.bitstream.reader import PacketReader, read_header
from codec.errors import UserError
from tests.helpers.bitstreams import (
    CODER,
    HEADER,
    samples_for,
    write_packets,
)


@pytest.mark.parametrize("frames", [0, 1, 8, 29, 300])
def test_reading_returns_what_was_written(tmp_path, frames):
    path = tmp_path / "x.nac"
    codes = write_packets(path, frames, tags={"title": "x"})
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
    codes = write_packets(path, 300)
    with PacketReader(path) as reader:
        for first in (0, 1, 15, 16, 17, 33, 37):
            packets = list(reader.packets(CODER, first))
            assert packets[0].first == 8 * first
            np.testing.assert_array_equal(np.concatenate([one.codes for one in packets], 2), codes[..., 8 * first :])


def test_other_files_and_versions(tmp_path):
    path = tmp_path / "x.nac"
    write_packets(path, 3)
    version_3 = bytearray(path.read_bytes())
    version_3[4] = 3
    version_3[54:58] = zlib.crc32(version_3[:54]).to_bytes(4, "little")
    flagged = bytearray(path.read_bytes())
    flagged[5] = 4
    flagged[54:58] = zlib.crc32(flagged[:54]).to_bytes(4, "little")
    for content, words in [
        (b"\x89PNG\r\n\x1a\n" + bytes(100), str(path)),
        (b"RIFF", str(path)),
        (bytes(version_3), "version 3"),
        (bytes(flagged), "flags 0x04"),
    ]:
        path.write_bytes(content)
        with pytest.raises(UserError, match=words) as error:
            read_header(path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)
    for missing in (tmp_path / "none.nac", tmp_path):
        with pytest.raises(UserError, match=str(missing)):
            read_header(missing)
