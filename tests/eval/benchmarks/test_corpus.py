"""The corpus benchmark: its commands run, and its numbers are consistent."""

import numpy as np
import pytest

from codec import audio
from eval.benchmarks.corpus import bits_table, command_table, measure_corpus


def test_bits_and_lengths_of_a_corpus(tmp_path):
    rng = np.random.default_rng(0)
    for name, rate, channels in (("speech/a.wav", 16000, 1), ("music/b/c.flac", 44100, 2)):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True)
        audio.write(path, 0.1 * rng.standard_normal((channels, 5 * rate), dtype=np.float32), rate)

    point = measure_corpus("speech_16k_v2", tmp_path / "in", 6.0)

    assert list(point.kinds) == [("music", 44100, 2), ("speech", 16000, 1)]
    for found in point.kinds.values():
        assert found.seconds == 5.0
        assert found.ideal < found.payload < found.ideal * 1.02
        assert found.file / 5 == pytest.approx(6000, rel=0.01)
        assert found.file - found.payload == pytest.approx(8 * 23, rel=0.1)  # docs/bitstream.md
    assert len(point.encode.done) == len(point.decode.done) == 2
    assert len(bits_table([point]).rows) == 2 and len(command_table([point]).rows) == 1
