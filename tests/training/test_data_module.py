"""Loaders of training batches: other processes give the same."""

import torch

from codec.training.data_module import CodecData
from tests.helpers.runs import RANDOM, tiny_recipe


def test_worker_processes_give_the_same_batches(prepared):
    alone, helped = (CodecData(prepared, tiny_recipe(*RANDOM, f"--data.workers={count}")) for count in (0, 1))
    for mine, theirs in zip(alone.train_dataloader(), helped.train_dataloader(), strict=True):
        assert torch.equal(mine.waveform, theirs.waveform) and mine.frames == theirs.frames
