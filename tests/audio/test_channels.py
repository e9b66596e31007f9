"""Mid and side, and their inverse, of arrays and tensors."""

import numpy as np
import pytest
import torch

from codec.audio.channels import StereoMode, channels_to_streams, streams_to_channels
from tests.helpers.audio import noise


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("stereo", ["mid_side", "separate"])
def test_streams_turn_back_into_channels(channels: int, stereo: StereoMode) -> None:
    waveform = noise(channels, 1000)
    streams = channels_to_streams(waveform, stereo)
    assert streams.shape == (channels, 1, 1000) and streams.dtype == np.float32
    np.testing.assert_allclose(streams_to_channels(streams, stereo), waveform, atol=1e-7)


def test_mid_and_side_keep_the_energy() -> None:
    waveform = noise(2, 1000)
    mid, side = channels_to_streams(waveform, "mid_side")[:, 0]
    np.testing.assert_allclose(mid**2 + side**2, (waveform**2).sum(axis=0), rtol=1e-4)
    assert not np.allclose(mid, waveform[0])


@pytest.mark.parametrize("stereo", ["mid_side", "separate"])
def test_tensors_give_the_same_bits_as_arrays(stereo: StereoMode) -> None:
    waveform = noise(2, 1000)
    streams = channels_to_streams(torch.from_numpy(waveform), stereo)
    assert isinstance(streams, torch.Tensor)
    np.testing.assert_array_equal(streams.numpy(), channels_to_streams(waveform, stereo))
    np.testing.assert_array_equal(
        streams_to_channels(streams, stereo).numpy(), streams_to_channels(streams.numpy(), stereo)
    )
