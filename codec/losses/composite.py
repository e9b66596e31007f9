"""All terms of a step in one place, their spectra computed once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from codec.errors import UserError
from codec.losses import loudness_disturbance, noise_to_mask, spectral
from codec.losses.spectrograms import ALL_MEL_SCALES, Pair
from codec.model.mdct import MDCT

Term = Callable[["CompositeLoss", Pair], Tensor]

TERMS: dict[str, Term] = {
    "l1": lambda bank, pair: (pair.output - pair.target).abs().mean(),
    "l2": lambda bank, pair: (pair.output - pair.target).square().mean(),
    "mdct_l1": lambda bank, pair: bank.mdct.analysis(pair.output - pair.target).abs().mean(),  # the MDCT is linear
    "stft": lambda bank, pair: spectral.stft(pair),
    "mel": lambda bank, pair: spectral.mel(pair, bank.sample_rate),
    "nmr": lambda bank, pair: noise_to_mask.nmr(pair, bank.sample_rate),
    "loudness": lambda bank, pair: loudness_disturbance.disturbance(pair, bank.sample_rate),
    "a_weighted": lambda bank, pair: spectral.a_weighted(pair, bank.sample_rate),
}
"""Name: the term, each a mean over the batch and zero for identical waves. Units and sources stand with the
functions."""


@dataclass(frozen=True)
class LossReport:
    """``total``, with gradients; ``terms``, each without its weight and without gradients."""

    total: Tensor
    terms: dict[str, Tensor]


class CompositeLoss(nn.Module):
    """Weighted sum of terms. A term at weight 0 is computed only where everything is to be logged, without gradients.

    Works in float32 outside autocast, whatever the types of its inputs, and keeps nothing in a checkpoint.
    """

    sample_rate: int
    mdct: MDCT

    def __init__(self, weights: dict[str, float], sample_rate: int, mdct_hop: int):
        super().__init__()
        unknown = sorted(set(weights) - set(TERMS))
        if unknown:
            raise UserError(f"no loss called {', '.join(unknown)}; there are {', '.join(TERMS)}")
        self.weights = {name: weight for name, weight in weights.items() if weight}
        self.sample_rate = sample_rate
        self.mdct = MDCT(mdct_hop)

    def forward(
        self,
        output: Tensor,
        target: Tensor,
        log_all: bool = False,
        mel_scales: Sequence[int] = ALL_MEL_SCALES,
    ) -> LossReport:
        """Both ``[batch, 1, samples]`` in [-1, 1]; gradients reach ``output`` alone.

        ``mel_scales``: those that the mel term is estimated from.
        """
        with torch.autocast(output.device.type, enabled=False):
            samples = output.shape[-1] // self.mdct.hop * self.mdct.hop
            pair = Pair(output[..., :samples], target[..., :samples], mel_scales)
            values = {name: TERMS[name](self, pair) for name in self.weights}
            total = sum((self.weights[name] * value for name, value in values.items()), pair.output.new_zeros(()))
            if log_all:
                with torch.no_grad():
                    values |= {name: term(self, pair) for name, term in TERMS.items() if name not in values}
        return LossReport(total, {name: value.detach() for name, value in values.items()})
