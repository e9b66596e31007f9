"""The example programs in docs/examples."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

EXAMPLES = Path(__file__).parents[1] / "docs/examples"


def test_gradient_and_genetic_search_agree_on_the_error_and_only_genetic_search_accounts_for_bits():
    example = SimpleNamespace(**runpy.run_path(str(EXAMPLES / "gradients_or_genes.py")))
    values = example.laplacian(4000)
    error, both = example.Objective(values), example.Objective(values, bits_weight=0.05)
    scales = torch.linspace(0.05, 1.5, 600)
    best = {weight: min(float(one(scale)) for scale in scales) for weight, one in ((0, error), (1, both))}
    assert example.descend_gradient(error, 0.1).loss == pytest.approx(best[0], rel=0.01)
    assert example.search_genetically(error).loss == pytest.approx(best[0], rel=0.01)
    assert example.search_genetically(both).loss == pytest.approx(best[1], rel=0.01)
    blind = example.descend_gradient(both, 0.1)
    assert blind.loss > 1.05 * best[1]
    assert blind.scale == pytest.approx(example.descend_gradient(error, 0.1).scale)
