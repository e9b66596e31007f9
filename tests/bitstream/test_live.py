"""Live streams: frames in pieces of any size, and what damage does to them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.bitstream import live
from codec.bitstream.file_start import metadata_blocks, start_bytes
from codec.bitstream.header import Header
from codec.bitstream.live_parser import LiveParser
from codec.bitstream.reader import PacketReader
from codec.errors import UserError
from tests.helpers.pieces import Dribble

HEADER = Header("0123456789abcdef", 22050, 2, 16000, 320, 3, 10, 1, live=True)
FIXED = live.FixedWidthCoder(1000)


def samples_for(frames: int) -> int:
    return 320 * (frames - 1) * 22050 // 16000


def stream(frames: int, seed: int = 0) -> tuple[np.ndarray, bytes, list[int]]:
    """Codes, the stream behind its header, and where each frame starts, and the last one ends."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 1000, (2, 3, frames))
    codes[np.arange(3)[None, :, None] >= rng.integers(0, 4, (2, 1, frames))] = -1
    places = np.cumsum([0] + [len(FIXED.pack(codes[..., i])) + 2 for i in range(frames)]).tolist()
    data = b"".join(live.frame_bytes(i, FIXED.pack(codes[..., i])) for i in range(frames))
    return codes, data + live.end_bytes(samples_for(frames), frames), places


def parse(data: bytes, pieces: list[int]) -> tuple[LiveParser, list[bytes | None]]:
    parser, bodies, source = LiveParser(HEADER), [], Dribble(data, pieces)
    while piece := source.read():
        frames = parser.push(piece)
        assert frames.first == len(bodies)
        bodies += frames.bodies
    bodies += parser.finish().bodies
    assert parser.next == len(bodies)
    return parser, bodies


@pytest.mark.parametrize("pieces", [[1], [7], [1, 30, 2], [1 << 20]])
def test_frames_are_parsed_from_pieces_of_any_size(pieces):
    codes, data, _ = stream(50)
    parser, bodies = parse(data, pieces)
    (run,) = live.unpack_frames(live.LiveFrames(0, bodies), HEADER, FIXED)
    assert (run.first, run.frames, parser.end) == (0, 50, live.StreamEnd(samples_for(50), 50)) and parser.done
    np.testing.assert_array_equal(run.codes, codes)


def test_a_frame_is_returned_with_its_last_byte():
    _, data, places = stream(50)
    parser = LiveParser(HEADER)
    for at in range(places[-1]):
        assert len(parser.push(data[at : at + 1]).bodies) == (at + 1 in places)


def test_damage_in_a_live_stream_costs_its_frame():
    _, data, places = stream(300)
    rng = np.random.default_rng(1)
    for pieces in ([1], [1 << 20]):
        for packet in (0, 1, 150, 298, 299):
            for place in range(places[packet], places[packet + 1]):
                broken = bytearray(data)
                broken[place] ^= rng.integers(1, 256)
                parser, bodies = parse(bytes(broken), pieces)
                expected = [data[places[i] : places[i + 1] - 2] if i != packet else None for i in range(300)]
                assert bodies == expected and parser.end == live.StreamEnd(samples_for(300), 300)


def test_missing_and_surplus_bytes():
    _, data, places = stream(300)
    for pieces in ([5], [1 << 20]):
        for first, last in [(0, 0), (10, 12), (100, 250), (290, 299), (299, 299)]:
            for cut, rest in [(places[first], places[last + 1]), (places[first] + 1, places[last + 1] - 1)]:
                parser, bodies = parse(data[:cut] + data[rest:], pieces)
                assert [body is None for body in bodies] == [first <= i <= last for i in range(300)]
                assert parser.done and parser.end == live.StreamEnd(samples_for(300), 300)
        _, bodies = parse(data[: places[9]] + bytes(50) + data[places[9] :], pieces)
        assert sum(body is None for body in bodies) <= 1 and len(bodies) == 300
        for cut in (places[200], places[200] + 1):
            parser, bodies = parse(data[:cut], pieces)
            assert len(bodies) == 200 and None not in bodies and parser.end is None


def test_live_streams_in_files_are_read(tmp_path):
    codes, data, places = stream(300)
    (tmp_path / "x.nac").write_bytes(start_bytes(HEADER, metadata_blocks({"title": "x"})) + data)
    with PacketReader(tmp_path / "x.nac") as reader:
        assert (reader.header.frames, reader.tags, reader.damaged_packets()) == (300, {"title": "x"}, [])
        np.testing.assert_array_equal(np.concatenate(list(reader.codes(FIXED)), 2), codes)
        np.testing.assert_array_equal(np.concatenate([one.codes for one in reader.packets(FIXED, 77)], 2)[..., -223:],
                                      codes[..., 77:])  # fmt: skip
    (tmp_path / "x.nac").write_bytes(start_bytes(HEADER) + data[: places[201] + 1])
    with PacketReader(tmp_path / "x.nac") as reader:
        assert (reader.header.frames, reader.ended) == (201, False)
        with pytest.raises(UserError, match="truncated"):
            list(reader.codes(FIXED))
    for samples, frames in [(1 << 63, 1 << 62), (1 << 40, 1 << 34), (5, 300), (0, 300)]:
        (tmp_path / "x.nac").write_bytes(start_bytes(HEADER) + data[:-21] + live.end_bytes(samples, frames))
        with pytest.raises(UserError, match="contradicts"):
            PacketReader(tmp_path / "x.nac")


@given(st.binary(max_size=300), st.integers(1, 3))
@settings(deadline=None, max_examples=300)
def test_arbitrary_bytes_are_parsed(data, piece):
    _, good, places = stream(5)
    _, bodies = parse(good[: places[3]] + data + good[places[3] :], [piece])
    for run in live.unpack_frames(live.LiveFrames(0, bodies), HEADER, FIXED):
        found = run.codes
        assert found is None or (found.shape == (2, 3, run.frames) and -1 <= found.min() and found.max() < 1000)
