"""The benchmark of single frames: every way is timed, and computes the same."""

import pytest

from eval.benchmarks.single_frames import frames_table, time_frames
from tests.helpers.audio import noise
from tests.helpers.models import RVQ, make_codec


@pytest.mark.long
def test_ways_are_timed_and_compute_the_same():
    codec = make_codec(RVQ).requires_grad_(False)
    timings = time_frames(codec, noise(1, 1, 10 * codec.config.latent_hop), 1)
    assert len(timings) == 4 and {len(one.decode_ms) for one in timings.values()} == {8}
    rows = frames_table(timings, 20.0).rows
    assert all(float(row[5]) > 99 for row in rows) and [float(row[6]) > 30 for row in rows[1:]] == [True] * 3
