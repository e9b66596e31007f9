"""Frequency tables: sums, smoothing, uniform start, costs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.coding.bit_rate import expected_bits
from codec.model.frequency_tables import FrequencyTables


@given(st.integers(2, 3000), st.sampled_from([0, 1, 1000, 10**12]), st.integers(0, 2**32))
@settings(deadline=None)
def test_tables_add_up_and_leave_no_code_out(size, most, seed):
    counts = torch.from_numpy(np.random.default_rng(seed).integers(0, most + 1, (3, size)) // size)
    tables = FrequencyTables(3, size)
    tables.fit(counts)
    tables.to_numpy()
    added = counts.sum(1, keepdim=True).double().sqrt().clamp(min=1) / size
    shares = (counts + added) / (counts + added).sum(1, keepdim=True)
    error = tables.frequencies / 2**24 - shares
    assert error.abs().max() <= (size + 1) * 2**-24


def test_tables_are_uniform_until_fitted():
    for size in (2, 1000, 1024):
        tables = FrequencyTables(2, size)
        tables.to_numpy()
        assert tables.frequencies.max() - tables.frequencies.min() <= 1
        assert expected_bits(tables.frequencies.numpy(), None) == pytest.approx([np.log2(size)] * 2, rel=1e-6)


def test_costs_are_those_of_the_tables():
    tables = FrequencyTables(1, 4)
    tables.fit(torch.tensor([[50_000_000, 25_000_000, 12_500_000, 12_500_000]]))
    assert tables.bits[0].numpy() == pytest.approx([1, 2, 3, 3], abs=1e-3)
    assert float(expected_bits(tables.frequencies.numpy(), None)[0]) == pytest.approx(1.75, abs=1e-3)
    for wrong in ([[1 << 24, 0, 0, 0]], [[1, 1, 1, 1]]):
        tables.frequencies.copy_(torch.tensor(wrong))
        with pytest.raises(ValueError):
            tables.to_numpy()
