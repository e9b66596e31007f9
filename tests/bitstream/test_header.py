"""The header of a .nac file when it is damaged: one byte is repaired, and more are never taken for something else."""

import io
import random
from dataclasses import replace

import numpy as np
import pytest

from codec.bitstream import live
from codec.bitstream.header import HEADER_BYTES, read_header_and_tags
from codec.bitstream.live_writer import LiveWriter
from codec.bitstream.reader import PacketReader
from codec.errors import UserError
from tests.helpers.bitstreams import CODER, HEADER, write_packets


def test_a_damaged_byte_of_the_header_is_repaired(tmp_path):
    path = tmp_path / "x.nac"
    codes = write_packets(path, 20, tags={"title": "x"})
    whole, rng = path.read_bytes(), random.Random(0)
    with PacketReader(path) as reader:
        expected = reader.header
        reader.check()
    for place in range(HEADER_BYTES):
        for change in {1, 128, 255, rng.randrange(1, 256)}:
            path.write_bytes(whole[:place] + bytes([whole[place] ^ change]) + whole[place + 1 :])
            with PacketReader(path) as reader:
                assert reader.header == expected and reader.tags == {"title": "x"}
                with pytest.raises(UserError, match=str(path)):
                    reader.check()
    with PacketReader(path) as reader:
        assert np.array_equal(np.concatenate([part.codes for part in reader.packets(CODER)], 2), codes)


def test_more_damage_than_a_byte_is_refused(tmp_path):
    write_packets(tmp_path / "x.nac", 20)
    whole, rng = (tmp_path / "x.nac").read_bytes(), random.Random(1)
    for _ in range(2000):
        damaged = bytearray(whole[:HEADER_BYTES])
        for place in rng.sample(range(HEADER_BYTES), rng.choice((2, 3, 8))):
            damaged[place] ^= rng.randrange(1, 256)
        with pytest.raises(UserError):
            read_header_and_tags(io.BytesIO(damaged).read, "x")


def test_the_header_of_a_stream_is_repaired_as_it_comes():
    sender = LiveWriter(out := io.BytesIO(), replace(HEADER, live=True, packet_frames=1), live.FixedWidthCoder(1000))
    sender.finish(np.zeros((HEADER.channels, HEADER.codebooks, 0), np.int64), 0)
    data = bytearray(out.getvalue())
    expected = read_header_and_tags(io.BytesIO(bytes(data)).read, "x")
    data[12] ^= 64
    found = read_header_and_tags(io.BytesIO(bytes(data)).read, "x")
    assert found == replace(expected, repaired=True) and not expected.repaired
