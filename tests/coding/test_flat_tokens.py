"""Codes as ids of one vocabulary, and back."""

import numpy as np
import pytest
import torch

import codec as library
from codec.coding.flat_tokens import flatten_codes, unflatten_ids
from codec.errors import UserError


@pytest.mark.parametrize("shape", [(4, 7), (1, 3), (2, 3, 5), (3, 0)])
def test_ids_stand_frame_by_frame_in_ranges_of_their_own(shape):
    codes = np.random.default_rng(0).integers(0, 10, shape, np.int32)
    ids = flatten_codes(codes, 10)
    assert ids.shape == (*shape[:-2], shape[-2] * shape[-1]) and ids.dtype == codes.dtype
    for place in np.ndindex(shape):
        *channel, book, frame = place
        assert ids[(*channel, frame * shape[-2] + book)] == book * 10 + codes[place]
    np.testing.assert_array_equal(unflatten_ids(ids, 10, shape[-2]), codes)
    if codes.size:
        np.testing.assert_array_equal(unflatten_ids(ids, 10), codes)


@pytest.mark.parametrize(
    ("ids", "says"),
    [
        ([0, 10, 1], "3 ids are not whole frames of 2; cut the last 1"),
        ([0, 1], "id 1 at position 1 is not of codebook 1|not of codebook 0"),
        ([0, 10, 10, 0], "id 10 at position 2 is not of codebook 0, whose ids are 0 to 9"),
        ([0, 30, 1, 31], "id 30 at position 1 is not of codebook 1"),
        ([-1, 10], "from 0 on"),
        ([0.0, 10.0], "whole numbers"),
    ],
)
def test_sequences_that_are_no_codes_are_refused(ids, says):
    with pytest.raises(ValueError, match=says):
        unflatten_ids(np.array(ids), 10, 2 if ids == [0, 1] else None)


@pytest.mark.parametrize(
    "codes", [np.full((2, 2), 10), np.full((2, 2), -1), np.zeros(4, int), np.zeros((2, 2)), np.zeros((99, 2), np.int8)]
)
def test_what_has_no_ids_is_refused(codes):
    with pytest.raises(ValueError, match=r"codes|whole numbers"):
        flatten_codes(codes, 10)


def test_a_loaded_model_knows_its_vocabulary(model):
    c = library.load(model)
    codes = c.encode(0.1 * torch.randn(16000, generator=torch.Generator().manual_seed(0)), 16000, codebooks=2).codes
    ids = c.codes_to_ids(codes)
    assert ids.max() < 2 * c.codebook_size and torch.equal(c.ids_to_codes(ids), codes)
    assert torch.equal(c.decode(c.ids_to_codes(ids)), c.decode(codes))
    with pytest.raises((ValueError, UserError)):
        c.decode(c.ids_to_codes(ids + 2 * c.codebook_size))
