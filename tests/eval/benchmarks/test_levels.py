"""Quality over level."""

import numpy as np
import pytest
import torch

from codec.dataset.location import open_split
from eval.benchmarks.levels import measure_quality_over_level
from eval.evaluation.clip_selection import choose_excerpts
from eval.metrics.registry import metric


def test_a_clip_at_its_own_level_has_the_score_of_the_unchanged_clip(codec, prepared):
    clip = choose_excerpts(open_split(prepared, "val", 16000, 1), 1)[0]
    own = 20 * np.log10(np.sqrt(np.mean(np.square(clip.waveform[:1], dtype=np.float64))))
    table = measure_quality_over_level(codec, [clip], [own, own - 40, 0.0])
    codes = codec.encode(torch.from_numpy(clip.waveform[None, :1].copy()))
    plain = metric("mel").score(clip.waveform[:1], codec.decode(codes, clip.waveform.shape[-1])[0].numpy(), 16000).value
    found = [float(row[table.header.index(metric("mel").label)].split()[0]) for row in table.rows]
    assert found[0] == pytest.approx(plain, abs=0.01) and all(np.isfinite(found))
    assert [float(row[0]) for row in table.rows] == pytest.approx([own, own - 40, 0.0], rel=1e-4)
