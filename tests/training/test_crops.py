"""Training crops: pure functions of seed and step, drawn from audible parts of the clips."""

import json

import numpy as np
import torch

from codec.dataset.packed import packed_folder
from codec.training.data_module import CodecData
from tests.helpers.runs import RANDOM, tiny_recipe


def test_batches_are_pure_functions_of_seed_and_step(prepared):
    one, same, other = (CodecData(prepared, tiny_recipe(*RANDOM, f"--train.seed={seed}")) for seed in (0, 0, 1))
    late = [one.train_crops[step] for step in (7, 3)]
    assert torch.equal(late[1], same.train_crops[3]) and torch.equal(late[0], same.train_crops[7])
    assert not torch.equal(late[0], other.train_crops[7]) and not torch.equal(late[0], late[1])
    for mine, theirs in zip(one.evaluation_crops, other.evaluation_crops):
        assert torch.equal(mine[0], theirs[0])  # evaluation crops do not depend on the seed


def test_crops_skip_silence_and_clips_are_drawn_by_length(tmp_path):
    folder = packed_folder(tmp_path, 16000, 1)
    folder.mkdir(parents=True)
    rng, rate = np.random.default_rng(0), 16000
    loud = rng.integers(-9000, 9000, 2 * rate).astype(np.int16)
    clips = [np.concatenate([0 * loud, loud]), loud // 8, np.array([4000] * 100, np.int16)]
    columns = "clip_id shard start frames path domain group seconds rms_dbfs bandwidth_hz noise_dbfs sha256"
    for split in ("train", "val"):
        np.save(folder / f"{split}-00000.npy", np.concatenate(clips)[:, None])
        starts = np.cumsum([0, *map(len, clips)])
        rows = [f"{i},{split}-00000.npy,{starts[i]},{len(c)},x,d,g,1,-20,8000,-60,0" for i, c in enumerate(clips)]
        (folder / f"{split}.csv").write_text("\n".join([columns.replace(" ", ","), *rows]) + "\n")
    (folder / "packed.json").write_text(json.dumps({"sample_rate": rate, "channels": 1, "version": 1}))
    crops = CodecData(tmp_path, tiny_recipe("--data.batch_size=400")).train_crops[0]
    level = crops.square().mean((1, 2)).sqrt()
    assert (level > 10 ** (-60 / 20)).all()
    # the half silent clip has twice the length, and half of its crops are drawn again
    assert abs(float((level > 0.08).float().mean()) - 0.5) < 0.1
