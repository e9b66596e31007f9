"""Actors that are killed at random moments; tests/distributed has each kind of death once."""

import pytest

from codec.pretrained.checkpoint import load_codec
from codec.pretrained.loaded_model import LoadedModel
from eval.benchmarks.cluster_survival import survive_on_cluster


@pytest.mark.long
def test_a_batch_survives_kills_at_random_moments(tmp_path, model):
    table = survive_on_cluster(LoadedModel(load_codec(model)), tmp_path / "out", 10, seed=1)
    assert sum(int(row[1]) for row in table.rows) == 10
