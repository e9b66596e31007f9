"""The diagnosis on real runs: one that has seen three clips only, one that was stopped long before it was done."""

import csv
import json
from pathlib import Path

import numpy as np
import torch

from codec import audio
from codec.dataset.packed import open_split, packed_folder
from codec.losses import mel_distance
from codec.losses.noise_baseline import matched_noise
from codec.recipe import read_recipe
from codec.training.fit_diagnosis import Diagnosis, diagnose_run
from codec.training.trainer import train
from data_prep.synthetic_corpus import synthesise

SMALL = (
    "--codec.encoder.width=96 --codec.encoder.depth=2 --codec.decoder.width=192 --codec.decoder.depth=2"
    " --codec.quantizer.codebook_size=64 --codec.quantizer.codebooks=8 --codec.quantizer.latent_dim=64"
    " --codec.quantizer.full_rate_share=1 --data.batch_size=6 --data.crop_s=0.32 --train.validation_clips=24"
    " --optim.lr=0.004 --optim.warmup_steps=10 --optim.final_lr_ratio=0.5 --train.mel_scales=7"
).split()
COLUMNS = "clip_id shard start frames path domain group seconds rms_dbfs bandwidth_hz noise_dbfs sha256".split()
RATE = 16000


def pack(data: Path, split: str, clips: list[np.ndarray]) -> None:
    """One shard with these clips of int16 samples, as ``codec prepare`` writes it."""
    folder = packed_folder(data, RATE, 1)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{split}-00000.npy", np.concatenate(clips)[:, None])
    starts = np.cumsum([0, *map(len, clips)])
    with (folder / f"{split}.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for i, clip in enumerate(clips):
            place = [f"{split}{i}", f"{split}-00000.npy", starts[i], len(clip)]
            table.writerow([*place, "x", "voice", f"{split}{i}", len(clip) / RATE, -20, 8000, -60, str(i)])
    (folder / "packed.json").write_text(json.dumps({"sample_rate": RATE, "channels": 1, "version": 1}))


def diagnosed(data: Path, run: Path, steps: int, validations: int, *settings: str) -> Diagnosis:
    timing = [f"--train.steps={steps}", f"--train.validate_every={steps // validations}"]
    train(read_recipe("quickstart", [*SMALL, *timing, *settings]), data, run, quiet=True)
    return diagnose_run(run, noise_distance(data))


def noise_distance(data: Path) -> float:
    """The baseline that ``codec evaluate`` prints, on these clips."""
    split = open_split(data, "val", RATE, 1)
    waves = [split.waveform(i) for i in range(len(split))]
    pairs = [(torch.from_numpy(w[None]) for w in (matched_noise(wave, RATE), wave)) for wave in waves]
    return float(torch.stack([mel_distance(noise, wave, RATE) for noise, wave in pairs]).mean())


def test_runs_are_told_apart(tmp_path):
    files = sorted(synthesise(tmp_path / "audio", minutes=2.0).glob("voice/*/*.flac"))
    clips = [(audio.read(file).samples[0] * 32767).astype(np.int16) for file in files]
    half = len(clips) // 2
    for data, training in (
        ("three", [clip[RATE // 2 :][: 2 * RATE // 5] for clip in clips[:3]]),
        ("many", clips[:half]),
    ):
        pack(tmp_path / data, "train", training)
        pack(tmp_path / data, "val", clips[half:])

    overfitted = diagnosed(tmp_path / "three", tmp_path / "overfitted", 400, 10)
    assert overfitted.verdict == "overfitted", overfitted
    assert "more groups" in overfitted.action

    starved = diagnosed(tmp_path / "many", tmp_path / "starved", 40, 8, "--optim.lr=1e-5")
    assert starved.verdict == "underfitted", starved
