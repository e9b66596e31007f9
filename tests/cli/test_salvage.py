"""``codec encode --salvage``: truncated and damaged sources up to the damage."""

import json

import numpy as np
import soundfile

from codec import audio
from codec.bitstream.reader import PacketReader
from codec.cli import FAILED
from tests.helpers.audio import noise


def test_a_damaged_source_is_refused_or_encoded_up_to_the_damage(codec, place, tmp_path):
    wave = noise(1, 16000 * 6, level=0.2)
    (tmp_path / "in").mkdir()
    for name in ("whole.wav", "cut.wav", "bit.flac"):
        audio.write(tmp_path / "in" / name, wave, 16000)
    cut, bit = tmp_path / "in/cut.wav", tmp_path / "in/bit.flac"
    cut.write_bytes(cut.read_bytes()[: 44 + 2 * 16000 * 2])
    data = bytearray(bit.read_bytes())
    data[len(data) * 2 // 3] ^= 4
    bit.write_bytes(data)
    soundfile.write(tmp_path / "in/nan.wav", np.full(16000, np.nan, np.float32), 16000, subtype="FLOAT")
    words = ["encode", tmp_path / "in", "--out", tmp_path / "out", "--model", place / "model", "--json"]

    refused = codec(*words)
    assert refused.status == FAILED and len(refused.complaints) == 3
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["whole.nac"]

    for again in (False, True):  # the second time, they are up to date
        ran = codec(*words, "--salvage")
        result = json.loads(ran.out)
        assert ran.status == FAILED and len(ran.complaints) == 3
        assert result["summary"]["damaged"] == 2 and result["summary"]["failed"] == 1
        kept = {one["source"]: one["lost_s"] for one in result["skipped" if again else "done"]}
        assert kept[str(cut)] and 3.5 < kept[str(bit)][0][0] <= 4 and kept[str(bit)][0][1] == 6
        assert len(result["skipped"]) == (3 if again else 1)
    with PacketReader(tmp_path / "out/cut.nac") as reader:
        assert reader.header.samples == 2 * 16000 and reader.tags["salvaged"].startswith("up to 2.00 s; ")
    with PacketReader(tmp_path / "out/whole.nac") as reader:
        assert "salvaged" not in reader.tags
    assert codec("decode", tmp_path / "out/cut.nac", "--out", tmp_path, "--model", place / "model").status == 0
    assert soundfile.info(tmp_path / "cut.wav").frames == 2 * 16000
