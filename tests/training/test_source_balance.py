"""Sources of the training data: how often each is drawn, and that what is heard of each is counted exactly."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from codec.config import AugmentConfig, DataConfig
from codec.dataset.location import open_split
from codec.errors import UserError
from codec.pretrained.model_folder import read_training_info
from codec.training.crops import Crops
from codec.training.data_module import CodecData
from codec.training.heard_audio import read_heard_audio
from codec.training.source_balance import clip_weights
from codec.training.trainer import train
from tests.helpers.packed_data import RATE, MadeClip, pack_clips
from tests.helpers.runs import tiny_recipe

SECONDS = {"long": [6.0, 2.0, 4.0], "words": [0.1] * 20, "short": [1.0]}
LEVELS = {"long": 3000, "words": -3000, "short": 6000}
"""Every sample of a source has the same value, so that crops show where they come from."""
CROP_S = 0.24
"""Longer than a word."""


def pack_sources(data: Path, scale: float = 1.0, licence: str = "CC0 1.0") -> Path:
    for split in ("train", "val"):
        clips = [
            MadeClip("speech", name, np.full(round(scale * length * RATE), level, np.int16), -20.0, name, licence, "en")
            for name, level in LEVELS.items()
            for length in SECONDS[name]
        ]
        pack_clips(data, split, clips)
    return data


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return pack_sources(tmp_path_factory.mktemp("sources"))


def recipe(*more: str):
    return tiny_recipe(f"--data.crop_s={CROP_S}", *more)


@pytest.mark.parametrize(
    ("temperature", "weights"),
    [(1.0, {}), (2.0, {}), (5.0, {}), (1.0, {"words": 0.25}), (3.0, {"words": 0.5, "short": 0.0})],
)
def test_shares_of_the_sources_follow_the_formula(data, temperature, weights):
    size = 20_000
    settings = [f"--data.source_weights.{name}={value}" for name, value in weights.items()]
    plan = recipe(f"--data.batch_size={size}", f"--data.source_temperature={temperature}", *settings)
    crops = CodecData(data, plan).train_crops
    drawn = [crops.split.clips[position.clip] for position in crops.draw(0)]
    seconds = {name: sum(lengths) for name, lengths in SECONDS.items()}
    wanted = {
        name: weights.get(name, 1.0) * (length / sum(seconds.values())) ** (1 / temperature)
        for name, length in seconds.items()
    }
    wanted = {name: value / sum(wanted.values()) for name, value in wanted.items() if value}
    counts = {name: sum(clip.source == name for clip in drawn) for name in SECONDS}
    assert sum(counts[name] for name in wanted) == size
    assert chisquare([counts[name] for name in wanted], [size * share for share in wanted.values()]).pvalue > 1e-3
    # within a source, clips are drawn by length
    lengths = [clip.frames for clip in drawn if clip.source == "long"]
    found = [lengths.count(round(length * RATE)) for length in SECONDS["long"]]
    expected = [len(lengths) * length / seconds["long"] for length in SECONDS["long"]]
    assert chisquare(found, expected).pvalue > 1e-3


def test_without_settings_the_draws_are_those_of_earlier_versions(data):
    plan = recipe("--data.batch_size=500", "--train.seed=7")
    crops, clips = CodecData(data, plan).train_crops, open_split(data, "train", RATE, 1).clips
    ends = np.cumsum([clip.frames for clip in clips])
    for number, (clip, start) in enumerate([*crops.draw(0), *crops.draw(1)]):
        rng = np.random.default_rng([7, number])
        assert clip == np.searchsorted(ends, rng.integers(ends[-1]), side="right")
        assert start == rng.integers(max(1, clips[clip].frames - plan.crop_samples + 1))


def test_evaluation_crops_are_the_same_for_every_balance(data):
    plain, balanced = (CodecData(data, recipe(f"--data.source_temperature={t}")) for t in (1, 4))
    for mine, theirs in zip(plain.evaluation_crops, balanced.evaluation_crops):
        assert torch.equal(mine[0], theirs[0])


@pytest.mark.parametrize("workers", [0, 1])
def test_frames_of_a_batch_are_counted_without_padding(data, workers):
    plan = recipe("--data.batch_size=30", "--train.steps=3", f"--data.workers={workers}")
    for batch in CodecData(data, plan).train_dataloader():
        values = (batch.waveform * 32768).round()
        counts = {name: int((values == level).sum()) for name, level in LEVELS.items()}
        assert batch.frames == {name: count for name, count in counts.items() if count}
        assert sum(counts.values()) < values.numel()  # a crop of a word ends in silence


def frames_of_steps(data: Path, plan, steps: range) -> dict[str, int]:
    """Count the frames of each source by their values."""
    split = open_split(data, "train", RATE, 1)
    crops = Crops(split, plan, AugmentConfig(), plan.train.seed, clip_weights(split.clips, split.sources, plan.data))
    waves = torch.stack([crops[step] for step in steps])
    return {name: int((waves * 32768 == level).sum()) for name, level in LEVELS.items()}


def test_a_run_counts_what_it_hears_over_other_settings_and_other_data(tmp_path, data):
    first = recipe("--train.steps=8", "--data.source_temperature=3")
    train(first, data, tmp_path / "run", quiet=True)
    heard = read_heard_audio(tmp_path / "run")
    best = read_training_info(tmp_path / "run")["step"]
    assert {name: source.heard_frames for name, source in heard.sources.items()} == frames_of_steps(
        data, first, range(best)
    )
    assert {name: source.split_frames / RATE for name, source in heard.sources.items()} == pytest.approx(
        {name: sum(lengths) for name, lengths in SECONDS.items()}
    )

    other = pack_sources(tmp_path / "other", scale=0.5, licence="CC BY 4.0")
    second = recipe("--train.steps=12", "--data.batch_size=5")
    train(second, other, tmp_path / "run", quiet=True)
    counted = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["callbacks"]["heard"]["sources"]
    parts = frames_of_steps(data, first, range(8)), frames_of_steps(other, second, range(8, 12))
    assert {name: source["heard_frames"] for name, source in counted.items()} == {
        name: parts[0][name] + parts[1][name] for name in LEVELS
    }
    assert counted["long"]["split_frames"] == RATE * sum(SECONDS["long"]) / 2
    assert counted["long"]["licences"] == ["CC BY 4.0", "CC0 1.0"] and counted["long"]["languages"] == ["en"]


def test_what_a_model_heard_is_carried_on_or_named_as_unknown(tmp_path, data):
    plan = recipe("--train.steps=2", "--train.validate_every=2")
    train(plan, data, tmp_path / "parent", quiet=True)
    parent = read_heard_audio(tmp_path / "parent")
    longer = recipe("--train.steps=8", "--train.validate_every=8", "--optim.lr=0.0001")
    better = train(longer, data, tmp_path / "child", init_from=tmp_path / "parent", quiet=True)
    assert better.best_step == 8  # else the parent is kept, and with it what it heard
    child = read_heard_audio(tmp_path / "child")
    own_s = sum(frames_of_steps(data, longer, range(8)).values()) / RATE
    assert child.heard_s == pytest.approx(parent.heard_s + own_s) and child.unrecorded == []

    last = tmp_path / "parent/checkpoints/last.ckpt"
    state = torch.load(last, weights_only=True)
    del state["callbacks"]["heard"]  # as an earlier version wrote it
    torch.save(state, last)
    train(recipe("--train.steps=4", "--train.validate_every=4"), data, tmp_path / "parent", quiet=True)
    state = torch.load(last, weights_only=True)["callbacks"]["heard"]
    assert sum(source["heard_frames"] for source in state["sources"].values()) == sum(
        frames_of_steps(data, plan, range(2, 4)).values()
    )
    assert len(state["unrecorded"]) == 1


def test_settings_that_do_not_fit_the_data_are_refused(tmp_path, data, prepared):
    split = open_split(data, "train", RATE, 1)
    for config in (DataConfig(source_weights={"wrds": 1.0}), DataConfig(source_weights=dict.fromkeys(SECONDS, 0.0))):
        with pytest.raises(UserError, match=r"data\.source_weights"):
            clip_weights(split.clips, split.sources, config)
    table = tmp_path / "data/packed/16000x1/train.csv"
    pack_sources(tmp_path / "data")
    table.write_text("".join(",".join(line.split(",")[:12]) + "\n" for line in table.read_text().splitlines()))
    assert CodecData(tmp_path / "data", recipe()).train_crops.draw(0)  # of one source without a name
    with pytest.raises(UserError, match="codec prepare"):
        CodecData(tmp_path / "data", recipe("--data.source_temperature=2"))
