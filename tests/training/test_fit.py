"""The diagnosis of real runs: one trained on three clips alone, one with a far too low learning rate."""

from pathlib import Path

import numpy as np
import torch

from codec import audio
from codec.dataset.location import open_split
from codec.losses import mel_distance
from codec.losses.noise_baseline import matched_noise
from codec.recipe import read_recipe
from codec.training.fit_diagnosis import Diagnosis, diagnose_run
from codec.training.trainer import train
from data_prep.synthetic_corpus import synthesise_corpus
from tests.helpers.packed_data import RATE, MadeClip, pack_clips

SMALL = (
    "--codec.encoder.width=96 --codec.encoder.depth=2 --codec.decoder.width=192 --codec.decoder.depth=2"
    " --codec.quantizer.codebook_size=64 --codec.quantizer.codebooks=8 --codec.quantizer.latent_dim=64"
    " --codec.quantizer.full_rate_share=1 --data.batch_size=6 --data.crop_s=0.32 --train.validation_clips=12"
    " --optim.lr=0.004 --optim.warmup_steps=10 --optim.final_lr_ratio=0.5 --train.mel_scales=7"
).split()


def voices(clips: list[np.ndarray]) -> list[MadeClip]:
    return [MadeClip("voice", f"voice{i}", clip) for i, clip in enumerate(clips)]


def train_and_diagnose(data: Path, run: Path, steps: int, validations: int, *settings: str) -> Diagnosis:
    timing = [f"--train.steps={steps}", f"--train.validate_every={steps // validations}"]
    train(read_recipe("quickstart", [*SMALL, *timing, *settings]), data, run, quiet=True)
    return diagnose_run(run, noise_distance(data))


def noise_distance(data: Path) -> float:
    """Return the mel distance of noise on the validation clips."""
    split = open_split(data, "val", RATE, 1)
    waves = [split.waveform(i) for i in range(len(split))]
    pairs = [(torch.from_numpy(w[None]) for w in (matched_noise(wave, RATE), wave)) for wave in waves]
    return float(torch.stack([mel_distance(noise, wave, RATE) for noise, wave in pairs]).mean())


def test_overfitted_and_underfitted_runs_are_recognised(tmp_path):
    files = sorted(synthesise_corpus(tmp_path / "audio", minutes=2.0).glob("voice/*/*.flac"))
    clips = [(audio.read(file).samples[0] * 32767).astype(np.int16) for file in files]
    half = len(clips) // 2
    for data, training in (
        ("three", [clip[RATE // 2 :][: 2 * RATE // 5] for clip in clips[:3]]),
        ("many", clips[:half]),
    ):
        pack_clips(tmp_path / data, "train", voices(training))
        pack_clips(tmp_path / data, "val", voices(clips[half:]))

    overfitted = train_and_diagnose(tmp_path / "three", tmp_path / "overfitted", 112, 8)
    assert overfitted.verdict == "overfitted", overfitted

    starved = train_and_diagnose(tmp_path / "many", tmp_path / "starved", 24, 8, "--optim.lr=1e-5")
    assert starved.verdict == "underfitted", starved
