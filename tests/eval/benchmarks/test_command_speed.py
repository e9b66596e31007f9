"""Commands of two builds, timed in turns. No timing is asserted."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

import codec
from codec import audio
from codec.errors import UserError
from codec.pretrained.checkpoint import save_model
from eval.benchmarks.command_speed import time_commands
from tests.helpers.coding import wire_codec


@pytest.mark.long
def test_each_build_codes_at_each_rate(tmp_path):
    """The other build is a copy of this one whose decoder announces itself by a file."""
    save_model(tmp_path / "model", wire_codec(), {})
    audio.write(tmp_path / "x.wav", 0.1 * np.random.default_rng(0).standard_normal((1, 48000), np.float32), 16000)
    package = Path(codec.__file__).parent
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as wheel:
        for path in package.rglob("*.py"):
            wheel.write(path, path.relative_to(package.parent))
        wheel.writestr("sitecustomize.py", f"open({str(tmp_path / 'ran')!r}, 'a').write('x')")
    timings = time_commands(str(tmp_path / "model"), tmp_path / "x.wav", tmp_path / "other.whl", [1.0], 2)
    assert (tmp_path / "ran").read_text() == "x" * 16  # two rounds, two rates, four commands
    name = str(tmp_path / "model")
    names = [name, f"{name}, int8", f"{name}, other.whl"]
    assert [(one.name, one.kbps) for one in timings] == [(build, rate) for rate in (None, 1.0) for build in names]
    for one in timings:
        assert one.encode.rounds == one.decode.rounds == 2 and one.decode.low > 0
        assert 0 < one.encode_start_s < 60 and 0 < one.decode_start_s < 60
        assert (one.decode_ratio is None) == (one.encode_ratio is None) == one.name.endswith("other.whl")


def test_a_build_that_cannot_be_read_and_short_audio_are_refused(tmp_path):
    audio.write(tmp_path / "x.wav", np.zeros((1, 48000), np.float32), 16000)
    audio.write(tmp_path / "short.wav", np.zeros((1, 16000), np.float32), 16000)
    (tmp_path / "no.whl").write_bytes(b"no archive")
    for source, wheel in (("x.wav", "no.whl"), ("x.wav", "absent.whl"), ("short.wav", "no.whl")):
        with pytest.raises(UserError):
            time_commands("speech_16k_v2", tmp_path / source, tmp_path / wheel, [], 1)
