"""Scoring of candidates that are coded in memory."""

import numpy as np
import pytest
import torch

from codec.dataset.location import open_split
from eval.evaluation.candidate_scoring import cross_entropy_bits, fit_order_0_tables
from eval.evaluation.clip_selection import choose_excerpts
from tests.helpers.packed_data import RATE, MadeClip, pack_clips, tones


def test_coded_bits_are_the_cross_entropy_of_the_tables():
    rng = np.random.default_rng(0)
    share = np.array([0.5, 0.25, 0.125, 0.125])

    def draw() -> torch.Tensor:
        return torch.from_numpy(np.stack([rng.choice(4, 50000, p=share), rng.choice(4, 50000)]))

    tables = fit_order_0_tables(draw(), 4)
    assert cross_entropy_bits(draw(), tables) / 50000 == pytest.approx(3.75, abs=0.02)
    assert cross_entropy_bits(draw()[:1], tables) / 50000 == pytest.approx(1.75, abs=0.01)
    uniform = fit_order_0_tables(torch.zeros(1, 0, dtype=torch.int64), 4)
    assert cross_entropy_bits(torch.tensor([[0, 3, 3]]), uniform) == pytest.approx(6)


def test_excerpts_are_long_enough_spread_and_always_the_same(prepared):
    split = open_split(prepared, "train", 16000, 1)
    some, same = choose_excerpts(split, 3), choose_excerpts(split, 3)
    assert [clip.clip_id for clip in some] == [clip.clip_id for clip in same]
    assert len({clip.group for clip in some}) == len(some) == 3
    assert all(3.2 <= clip.waveform.shape[1] / 16000 <= 8 for clip in choose_excerpts(split, 100))


def test_excerpts_of_whole_clips_alone_have_their_text(tmp_path):
    made = [
        MadeClip("speech", str(seconds), tones(i, seconds), text="some words") for i, seconds in enumerate((4.0, 9.0))
    ]
    pack_clips(tmp_path, "val", made)
    whole, cut = choose_excerpts(open_split(tmp_path, "val", RATE, 1), 2)
    assert (whole.text, cut.text, whole.seconds, cut.seconds) == ("some words", "", 4.0, 8.0)
