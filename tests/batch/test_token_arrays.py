"""Codes that another program wrote, decoded."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.audio_codec import AudioCodec
from codec.batch.decode import decode_batch
from codec.pretrained.loaded_model import LoadedModel
from codec.pretrained.registry import ModelFinder
from tests.helpers.token_shards import figures, numpy_bytes, write_tar


def test_codes_of_another_program_are_decoded(sounds, codec, model):
    """Bare arrays and tar files of them, of any integers, with one codebook or more, as codes or as ids."""
    loaded = AudioCodec(LoadedModel(codec))
    codes = np.random.default_rng(0).integers(0, 16, (2, 3, 20))
    Path("made").mkdir()
    np.save("made/mono.npy", codes[0].astype(np.uint8))
    np.save("made/stereo.npy", np.asfortranarray(codes))
    np.save("made/ids.npy", loaded.codes_to_ids(codes[0, :2]).astype(np.int16))
    write_tar(Path("made/some.tar"), {"x/one.npy": numpy_bytes(codes[0, :1]), "two.npy": numpy_bytes(codes[0])})
    batch = decode_batch([Path("made")], Path("wav"), LoadedModel(codec), bits="32f")
    assert figures(batch) == (5, 0, 0)
    expected = {"mono": codes[0], "stereo": codes, "ids": codes[0, :2], "x/one": codes[0, :1], "two": codes[0]}
    for name, given in expected.items():
        sound, rate = soundfile.read(f"wav/{name}.wav", dtype="float32")
        assert rate == loaded.sample_rate and np.array_equal(sound.T, loaded.decode(given)), name
    assert figures(decode_batch([Path("made")], Path("wav"), LoadedModel(codec), bits="32f")) == (0, 5, 0)
    nameless = decode_batch([Path("made/mono.npy")], Path("none"), ModelFinder([model])).failures
    assert [failure.reason for failure in nameless] == [
        "made/mono.npy: these codes do not name their model; give it with --model"
    ]


@pytest.mark.parametrize(
    ("codes", "says"),
    [
        (np.full((2, 9), 16), "not all from 0 to 15"),
        (np.full((2, 9), -1), "not all from 0 to 15"),
        (np.zeros((4, 9), int), "4 codebooks"),
        (np.zeros((2, 9)), "not integers"),
        (np.zeros((1, 2, 3, 9), int), r"\[channels, codebooks, frames\] or \[ids\]"),
        (np.array([0, 16, 1]), "not whole frames of 2"),
        (np.array([[1, 2]]).T[::-1].T.astype(object), "not integers"),
    ],
)
def test_arrays_that_are_no_codes_are_refused_in_one_line(sounds, codec, codes, says):
    np.save("a.npy", codes)
    (failure,) = decode_batch([Path("a.npy")], Path("wav"), LoadedModel(codec)).failures
    assert failure.reason.startswith("a.npy: ") and re.search(says, failure.reason) and "\n" not in failure.reason
