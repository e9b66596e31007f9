"""Training batches: pure functions of seed and step, drawn from audible parts of the clips."""

import json

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from codec.dataset.arrays import LocalArrays
from codec.dataset.clips import ClipTable
from codec.dataset.packed import packed_folder, read_table
from codec.dataset.packed_split import PackedSplit
from codec.training.data import CodecData
from codec.training.resident_audio import ResidentAudio
from tests.helpers.runs import RANDOM, tiny_recipe


def test_batches_are_pure_functions_of_seed_and_step(prepared):
    one, same, other = (CodecData(prepared, tiny_recipe(*RANDOM, f"--train.seed={seed}")) for seed in (0, 0, 1))
    late = [one.train_crops[step] for step in (7, 3)]
    assert torch.equal(late[1], same.train_crops[3]) and torch.equal(late[0], same.train_crops[7])
    assert not torch.equal(late[0], other.train_crops[7]) and not torch.equal(late[0], late[1])
    for mine, theirs in zip(one.evaluation_crops, other.evaluation_crops):
        assert torch.equal(mine[0], theirs[0])  # evaluation crops do not depend on the seed


def test_worker_processes_give_the_same_batches(prepared):
    alone, helped = (CodecData(prepared, tiny_recipe(*RANDOM, f"--data.workers={count}")) for count in (0, 1))
    for mine, theirs in zip(alone.train_dataloader(), helped.train_dataloader(), strict=True):
        assert torch.equal(mine.waveform, theirs.waveform) and mine.frames == theirs.frames


@pytest.mark.parametrize("overrides", [[], ["--data.workers=1"]], ids=["alone", "helped"])
def test_crops_read_on_the_device_are_those_of_the_loader(prepared, overrides):
    loaded, kept = (
        CodecData(prepared, tiny_recipe(*RANDOM, "--data.crop_s=1.5", f"--data.resident={where}", *overrides))
        for where in ("never", "always")
    )
    for data in (loaded, kept):
        data.make_resident(torch.device("cpu"))
    batches = [kept.on_after_batch_transfer(batch, 0) for batch in kept.train_dataloader()]
    assert len(batches) == 4
    for mine, theirs in zip(batches, loaded.train_dataloader(), strict=True):
        assert torch.equal(mine.waveform, theirs.waveform) and mine.frames == theirs.frames
    assert torch.equal(kept.load(9, torch.device("cpu")).waveform, loaded.train_crops[9])


def test_clips_that_are_too_short_and_stereo_are_read_on_the_device_too(tmp_path):
    clips = [np.arange(2 * frames, dtype=np.int16).reshape(frames, 2) for frames in (50, 3, 70)]
    rows = [
        f"{i},a.npy,{start},{len(clip)},x,d,g,1,-20,8000,-60" for i, (clip, start) in enumerate(zip(clips, (0, 50, 53)))
    ]
    np.save(tmp_path / "a.npy", np.concatenate(clips))
    table = ["clip_id,shard,start,frames,path,domain,group,seconds,rms_dbfs,bandwidth_hz,noise_dbfs", *rows]
    split = PackedSplit(LocalArrays(tmp_path, 2), ClipTable(read_table(table, "a")), 16000, 2)
    audio = ResidentAudio(split, torch.device("cpu"))
    positions = torch.tensor([(0, 0), (0, 49), (1, 1), (1, 3), (2, 0), (2, 70)])
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        audio.read(fake.from_tensor(positions), 60)  # without a question to the device
    for crop, (clip, start) in zip(audio.read(positions, 60), positions.tolist()):
        expected = np.zeros((2, 60), np.float32)
        piece = split.waveform(clip, start, 60)
        expected[:, : piece.shape[1]] = piece
        assert np.array_equal(crop, expected)


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
