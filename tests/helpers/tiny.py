"""A tiny model and recipe, for tests that need any."""

from pathlib import Path

import torch

from codec.model.codec import Codec
from codec.pretrained.checkpoint import save_model
from codec.recipe import read_recipe

TINY = [
    *("--codec.encoder.width=16", "--codec.encoder.depth=1", "--codec.decoder.width=16", "--codec.decoder.depth=1"),
    *("--codec.quantizer.codebooks=3", "--codec.quantizer.codebook_size=16", "--codec.quantizer.latent_dim=16"),
    *("--codec.quantizer.contexts=2", "--data.batch_size=2", "--data.crop_s=0.24"),
    *("--train.validation_clips=4", "--optim.warmup_steps=5"),
]
"""Overrides with which a training step of any RVQ recipe takes milliseconds."""
WITHOUT_CONTEXTS = [*TINY, "--codec.quantizer.contexts=1"]
"""For runs of few steps: to learn the contexts of frequency tables takes as long as the steps."""


def tiny_model(folder: Path, *overrides: str, seed: int = 0) -> Path:
    """Save a tiny model with the first weights of a training, fitted to quiet and very loud low-pass noise."""
    torch.manual_seed(seed)
    made = Codec(read_recipe("speech_16k", [*TINY, *overrides]).codec)
    wave = torch.nn.functional.conv1d(torch.randn(2, 1, 80000), torch.hann_window(99)[None, None])
    peaks = torch.tensor([0.2, 4.0])[:, None, None]
    made.initialise(peaks * wave / wave.abs().max(), torch.Generator().manual_seed(seed))
    save_model(folder, made, {"step": 1})
    return folder
