"""Training audio on the device: crops that are read there are those of the clips."""

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from codec.dataset.arrays import LocalArrays
from codec.dataset.clips import ClipTable
from codec.dataset.packed import read_table
from codec.dataset.packed_split import PackedSplit
from codec.training.data_module import CodecData
from codec.training.resident_audio import ResidentAudio
from tests.helpers.runs import RANDOM, tiny_recipe


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
