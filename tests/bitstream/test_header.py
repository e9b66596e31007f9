"""The header of a .nac file, or the whole of a short one, when it is damaged: one byte is repaired, and more are never
taken for something else.
"""

import io
import random
from dataclasses import replace

import numpy as np
import pytest

from codec.bitstream import live
from codec.bitstream.file_start import read_start
from codec.bitstream.live_writer import LiveWriter
from codec.bitstream.reader import PacketReader
from codec.errors import UserError
from tests.helpers.bitstreams import CODER, HEADER, HEADER_BYTES, samples_for, write_packets


@pytest.mark.parametrize("frames, tags", [(20, {}), (21, {"title": "x"})], ids=["short", "archive"])
def test_a_damaged_byte_is_repaired(tmp_path, frames, tags):
    path = tmp_path / "x.nac"
    codes = write_packets(path, frames, tags=tags)
    whole, rng = path.read_bytes(), random.Random(0)
    with PacketReader(path) as reader:
        expected = reader.header
        reader.check()
    assert expected.short == (not tags)
    for place in range(len(whole) if expected.short else HEADER_BYTES + 1):
        for change in {255, rng.randrange(1, 256)}:
            path.write_bytes(whole[:place] + bytes([whole[place] ^ change]) + whole[place + 1 :])
            with PacketReader(path) as reader:
                assert reader.header == expected and reader.tags == tags
                with pytest.raises(UserError, match=str(path)):
                    reader.check()
    with PacketReader(path) as reader:
        assert np.array_equal(np.concatenate([part.codes for part in reader.packets(CODER)], 2), codes)


@pytest.mark.parametrize("frames", [20, 21])
def test_more_damage_than_a_byte_is_refused(tmp_path, frames):
    write_packets(tmp_path / "x.nac", frames)
    whole, rng, refused = (tmp_path / "x.nac").read_bytes(), random.Random(1), 0
    for _ in range(600):
        damaged = bytearray(whole[:HEADER_BYTES] if frames > 20 else whole)
        for place in rng.sample(range(len(damaged)), rng.choice((2, 3, 8))):
            damaged[place] ^= rng.randrange(1, 256)
        try:
            start = read_start(io.BytesIO(damaged).read, "x")
        except UserError:
            refused += 1
        else:  # in a whole file, one in 100,000 looks like damage of one byte; the range coder detects it
            assert start.repaired and start.header.short
            with pytest.raises(ValueError):
                CODER.decode(start.payload, 2, 3, 20)
    assert refused >= 598


def test_the_header_of_a_stream_is_repaired_as_it_comes():
    sender = LiveWriter(out := io.BytesIO(), replace(HEADER, live=True, packet_frames=1), live.FixedWidthCoder(1000))
    codes = np.arange(6).reshape(2, 3, 1).repeat(9, 2)
    sender.finish(codes, samples_for(9))
    whole = out.getvalue()
    expected = read_start(io.BytesIO(whole).read, "x")
    assert expected.rest == b"" and not expected.repaired
    for place in range(expected.size):
        data = bytearray(whole)
        data[place] ^= 64
        source = io.BytesIO(bytes(data))
        found = read_start(source.read, "x")
        assert found == replace(expected, repaired=True, rest=found.rest)
        assert found.rest + source.read() == whole[expected.size :]
