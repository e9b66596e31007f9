"""The writer: whole files or none, and only what the format can hold."""

from dataclasses import replace

import numpy as np
import pytest

from codec.bitstream.writer import PacketWriter
from codec.errors import UserError
from tests.helpers.bitstreams import (
    CODER,
    HEADER,
)


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
        with pytest.raises(UserError, match=str(tmp_path / "x.nac")):
            PacketWriter(tmp_path / "x.nac", replace(HEADER, **wrong), CODER)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match=str(tmp_path / "file" / "x.nac")):
        PacketWriter(tmp_path / "file" / "x.nac", HEADER, CODER)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
