"""Peers' networks in our training loop."""

from pathlib import Path

import pytest
import torch

import codec
from codec.config import Recipe
from codec.model.codec import Codec
from codec.recipe import read_recipe
from eval.systems.complexity import matching_width, measure_complexity
from eval.systems.peer_networks import Peer
from eval.systems.trainable_peers import PEERS, codec_builder
from tests.helpers.tiny import TINY


def peer_recipe(*overrides: str) -> Recipe:
    return read_recipe("quickstart", [*TINY, "--train.validate_every=2", "--train.steps=2", *overrides])


@pytest.mark.parametrize("quantizer", ["own", "ours"])
@pytest.mark.parametrize("name", list(PEERS))
def test_peers_keep_length_and_learn_from_every_part(name, quantizer):
    if PEERS[name].absent:
        pytest.skip(PEERS[name].install)
    torch.manual_seed(0)
    peer, wave = codec_builder(name, 4, quantizer)(peer_recipe().codec), 0.1 * torch.randn(2, 1, 5000)
    assert isinstance(peer, Peer)
    peer.initialise(wave, torch.Generator().manual_seed(0))
    output = peer(wave, torch.tensor([1, 3]))
    assert output.waveform.shape == wave.shape and output.quantized.codes.shape == (2, 3, 16)
    (output.waveform.square().mean() + output.quantized.commitment).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in peer.parameters())


def test_costs_and_widths_that_match():
    config = read_recipe("speech_16k").codec
    ours = measure_complexity(Codec, config)
    stack = config.decoder
    frame = 2 * stack.expansion * stack.width**2 + stack.kernel * stack.width
    dimension = config.quantizer.dimension
    ends = (dimension + config.latent_hop) * stack.width + dimension * config.latent_hop
    per_second = config.frame_rate_hz * (stack.depth * frame + ends)
    assert ours.decoder_gmacs == pytest.approx(1e-9 * per_second, rel=0.01)
    assert ours.gmacs > ours.decoder_gmacs > 0
    if PEERS["encodec"].absent:
        pytest.skip(PEERS["encodec"].install)
    wanted = measure_complexity(codec_builder("encodec", 5), config).gmacs
    assert matching_width("encodec", "own", config, 1.03 * wanted) == 5


def test_the_library_knows_no_peers():
    library = Path(codec.__file__).parent
    files = [path for path in library.rglob("*.py") if "encodec" in path.read_text().lower()]
    naming = {path.relative_to(library).as_posix() for path in files if path.parent.name not in ("cli", "transformers")}
    # they name the packages to install, and the class of transformers that makes batches
    assert naming == {"runtime/extras.py", "pretrained/folder_writer.py"}
