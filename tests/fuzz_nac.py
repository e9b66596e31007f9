"""Mutated .nac files and streams through all that reads them, in one process: python tests/fuzz_nac.py [COUNT [SEED]]

Nothing may come out but codes in range or one line, within a time that the size of the file accounts for. What is
tried is the header with its tags and pictures, short files, the packets, the index, the live profile, versions 1 and 2,
the range coder and the coder of fixed width; of the model, nothing (it takes any codes in range). Checksums are made
right again in most of the mutants, for otherwise nearly all of them would end there. Not collected by pytest; the suite
runs a few thousand of the same.
"""

import io
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from codec.audio.pictures import Picture
from codec.bitstream import live
from codec.bitstream.blocks import block_bytes
from codec.bitstream.codes import NO_CODE
from codec.bitstream.file_start import read_start, start_bytes
from codec.bitstream.framing import frame_packet
from codec.bitstream.header import Header
from codec.bitstream.header_layout import HeaderError, parse_header
from codec.bitstream.live_parser import LiveParser
from codec.bitstream.live_writer import LiveWriter
from codec.bitstream.range_coder import RangeCoder
from codec.bitstream.reader import PacketReader
from codec.bitstream.writer import PacketWriter
from codec.errors import UserError
from codec.model.frequency_tables import FrequencyTables
from tests.helpers.old_versions import HEADER_BYTES, index, old_file, with_crc

SIZE = 60
HEADER = Header("0123456789abcdef", 16000, 2, 16000, 320, 3, 6, 8)
CODER = RangeCoder(FrequencyTables(3, SIZE, classes=5).to_numpy())
FIXED = live.FixedWidthCoder(SIZE)
SLOWEST_S = 10.0
"""Of the processor: what else a machine does counts nothing."""


def originals(folder: Path) -> list[bytes]:
    """Good files of each kind, short and not so short."""
    rng, made = np.random.default_rng(0), []
    for frames in (0, 1, 20, 300):
        codes = rng.integers(0, SIZE, (2, 3, frames))
        samples = max(0, 320 * (frames - 1)) or frames
        made += [old_file(version, HEADER, codes, CODER, samples) for version in (1, 2)]
        for variable in (False, True):
            if variable:
                codes[np.arange(3)[None, :, None] >= rng.integers(0, 4, (2, 1, frames))] = NO_CODE
            header, tags = replace(HEADER, variable=variable), {"title": "x"} if frames % 20 else {}
            pictures = [Picture(b"GIF89a", "image/gif")] if frames == 300 else []
            with PacketWriter(folder / "x.nac", header, CODER, tags, pictures) as writer:
                writer.write(codes)
                writer.finish(samples)
            made.append((folder / "x.nac").read_bytes())
        made.append(old_file(2, header, codes, CODER, samples, tags))
        sender = LiveWriter(out := io.BytesIO(), replace(HEADER, live=True, variable=True, packet_frames=1), FIXED)
        sender.write(codes[..., :-1])
        sender.finish(codes[..., -1:], samples)
        made.append(out.getvalue())
    return made


def mutant(data: bytes, rng: random.Random) -> bytes:
    """Some bytes flipped, cut out, put in, moved or replaced by telling values."""
    new = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(new) + 1) if rng.random() < 0.5 else rng.randrange(min(len(new), 120) + 1)
        size = rng.choice((1, 1, 2, 4, 8, 40))
        kind = rng.randrange(7)
        if kind == 0:
            new = new[:at]
        elif kind == 1:
            del new[at : at + size]
        elif kind == 2:
            new[at:at] = rng.randbytes(size)
        elif kind == 3:
            new[at:at] = new[rng.randrange(len(new) + 1) :][: 4 * size]
        elif kind == 4:
            new[at : at + size] = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80", b"\1")) * len(new[at : at + size])
        else:
            for place in range(at, min(at + size, len(new))):
                new[place] ^= 1 << rng.randrange(8) if kind == 5 else rng.randrange(1, 256)
    return repaired(new, rng) if rng.random() < 0.75 else bytes(new)


def repaired(data: bytearray, rng: random.Random) -> bytes:
    """With the checksum of the header made right, and those of packets of any content behind it, if there is one."""
    version = data[4] & 15 if len(data) > 4 else 0
    if version in HEADER_BYTES:
        size = HEADER_BYTES[version] - 4
        live_stream = version == 2 and data[5:6] and data[5] & 2
    else:
        if len(data) > 4 and not data[4] & 0x30:  # short: one checksum for everything
            return with_crc(bytes(data[:-4]))
        source = io.BytesIO(data)
        try:
            header, _ = parse_header(source.read)
        except HeaderError:
            return bytes(data)
        size, live_stream = source.tell(), header.live
    if len(data) < size + 4:
        return bytes(data)
    head, rest = bytes(data[:size]), bytes(data[size + 4 :])
    if live_stream:
        if rng.random() < 0.3:
            rest += live.end_bytes(rng.getrandbits(rng.randrange(1, 64)), rng.getrandbits(rng.randrange(1, 64)))
        elif rng.random() < 0.5:
            bodies = [rest[at : at + 1] + rest[at : at + rng.randrange(12)] for at in range(0, min(len(rest), 300), 9)]
            rest = b"".join(live.frame_bytes(number, body) for number, body in enumerate(bodies))
    elif version != 1 and rng.random() < 0.5:
        cuts = [*range(0, len(rest), rng.choice((1, 9, 40, 70))), len(rest)]
        packets = [frame_packet(number, rest[a:b]) for number, (a, b) in enumerate(pairwise(cuts)) if a < b]
        rest = b"".join(packets)
        if version == 2 or len(packets) > 16:
            rest += index(packets)
        frames = 8 * len(packets)
        if version == 2 and rng.random() < 0.5:  # as many frames as there are packets for
            counts = max(0, 320 * frames - 320).to_bytes(8, "little") + frames.to_bytes(8, "little")
            head = head[:28] + counts + head[44:]
        elif version == 3 and rng.random() < 0.5:
            samples, blocks = max(0, 320 * frames - 320), b""
            if rng.random() < 0.5:
                blocks = b"".join(block_bytes(rng.randrange(5), rest[:at]) for at in (0, 3, 40))
            return start_bytes(replace(header, frames=frames, samples=samples), blocks) + rest
    return with_crc(head) + rest


def examine(path: Path, data: bytes) -> str:
    """Reads a file in every way; what came of it. Raises ``AssertionError`` where it is not as it should be."""
    path.write_bytes(data)
    try:
        with PacketReader(path) as reader:
            head = reader.header
            coder = FIXED if head.live else CODER
            done, damaged = 0, 0
            for packet in reader.packets(coder):
                assert packet.first == done and packet.frames > 0
                done += packet.frames
                damaged += packet.codes is None
                if packet.codes is not None:
                    assert packet.codes.shape == (head.channels, head.codebooks, packet.frames)
                    assert (
                        packet.codes.min() >= (NO_CODE if head.live or head.variable else 0)
                        and packet.codes.max() < SIZE
                    )
            assert done <= head.frames or head.live
            reader.damaged_packets()
            for packet in reader.packets(coder, head.packets // 2):
                assert packet.codes is None or packet.codes.max() < SIZE
            try:
                list(reader.codes(coder))
            except UserError as error:
                assert "\n" not in str(error)
                return "damage concealed" if done else "nothing left"
            assert not damaged and done == head.frames
            return "read"
    except UserError as error:
        assert "\n" not in str(error)
        return "refused"


def receive(data: bytes, rng: random.Random) -> None:
    """The same as a stream that comes in pieces."""
    source = io.BytesIO(data)
    try:
        start = read_start(source.read, "stream")
    except UserError as error:
        assert "\n" not in str(error)
        return
    if not start.header.live:
        return
    parser = LiveParser(start.header)
    parser.push(start.rest)
    while not parser.done and (piece := source.read(rng.choice((1, 7, 100)))):
        for run in live.unpack_frames(parser.push(piece), start.header, FIXED):
            assert run.codes is None or (run.codes.shape[2] == run.frames and run.codes.max() < SIZE)
    parser.finish()


def fuzz(count: int, seed: int, folder: Path) -> Counter[str]:
    """Outcomes of so many mutants. Raises ``AssertionError``, or whatever else comes out; ``x.nac`` in ``folder`` is
    the mutant then."""
    rng, came = random.Random(seed), Counter[str]()
    good = originals(folder)
    for _ in range(count):
        data = mutant(rng.choice(good), rng)
        started = time.process_time()
        came[examine(folder / "x.nac", data)] += 1
        receive(data, rng)
        assert time.process_time() - started < SLOWEST_S, "too slow"
    return came


def main(count: int = 200_000, seed: int = 0) -> None:
    begun, folder = time.perf_counter(), Path(tempfile.mkdtemp())
    try:
        outcomes = fuzz(count, seed, folder)
    except BaseException:
        print(f"the mutant is {folder / 'x.nac'}", file=sys.stderr)
        raise
    shutil.rmtree(folder)
    print(f"{count} streams in {time.perf_counter() - begun:.0f} s: {dict(outcomes)}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
