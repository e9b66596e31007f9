"""Composite loss: the weighted sum of the terms of a recipe, whose spectrograms are computed once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from codec.errors import UserError
from codec.losses import loudness_disturbance, noise_to_mask, spectral
from codec.losses.spectrograms import ALL_MEL_SCALES, SpectrogramPair
from codec.model.mdct import MDCT
from codec.model.processes import ONE_PROCESS, Processes

LossTerm = Callable[["CompositeLoss", SpectrogramPair], Tensor]

LOSS_TERMS: dict[str, LossTerm] = {
    "l1": lambda loss, pair: (pair.output - pair.target).abs().mean(),
    "l2": lambda loss, pair: (pair.output - pair.target).square().mean(),
    "mdct_l1": lambda loss, pair: loss.mdct.analysis(pair.output - pair.target).abs().mean(),  # the MDCT is linear
    "stft": lambda loss, pair: spectral.stft_loss(pair, loss.processes),
    "complex_stft": lambda loss, pair: spectral.complex_stft_loss(pair),
    "mel": lambda loss, pair: spectral.mel_loss(pair, loss.sample_rate),
    "nmr": lambda loss, pair: noise_to_mask.noise_to_mask_loss(pair, loss.sample_rate),
    "loudness": lambda loss, pair: loudness_disturbance.loudness_loss(pair, loss.sample_rate),
    "a_weighted": lambda loss, pair: spectral.a_weighted_loss(pair, loss.sample_rate),
}
"""Terms by their names in recipes. Each is a mean over the batch and zero for identical waveforms; the functions
document units and sources."""


@dataclass(frozen=True)
class LossReport:
    """Losses of one step."""

    total: Tensor
    """The weighted sum, a scalar with gradients."""
    terms: dict[str, Tensor]
    """Each term by name, without its weight and without gradients."""


class CompositeLoss(nn.Module):
    """Weighted sum of terms.

    It computes in float32 outside autocast, whatever the types of its inputs, and has no entries in checkpoints.

    Args:
        weights: weights of the terms by name. Terms of weight 0 are computed only for the log, without gradients.
        sample_rate: sample rate in Hz
        mdct_hop: hop length of the codec's MDCT in samples, for the term ``mdct_l1``

    Raises:
        UserError: there is no term of a name.
    """

    sample_rate: int
    mdct: MDCT

    def __init__(self, weights: dict[str, float], sample_rate: int, mdct_hop: int):
        super().__init__()
        unknown = sorted(set(weights) - set(LOSS_TERMS))
        if unknown:
            raise UserError(f"there is no loss called {', '.join(unknown)}; choose from {', '.join(LOSS_TERMS)}")
        self.weights = {name: weight for name, weight in weights.items() if weight}
        self.sample_rate = sample_rate
        self.mdct = MDCT(mdct_hop)
        self.processes: Processes = ONE_PROCESS
        """Those that share each batch, of which the waveforms are a part."""

    def forward(
        self,
        output: Tensor,
        target: Tensor,
        log_all: bool = False,
        mel_scales: Sequence[int] = ALL_MEL_SCALES,
    ) -> LossReport:
        """Return the losses of one step.

        Args:
            output: decoded waveforms in [-1, 1], ``[batch, 1, samples]``
            target: original waveforms of the same shape; they receive no gradients
            log_all: also compute terms of weight 0, without gradients
            mel_scales: scales from which the mel term is estimated, 0 to 6; fewer are faster and noisier

        Returns:
            The weighted sum and its terms. A remainder of less than one MDCT hop at the end is not compared.
        """
        with torch.autocast(output.device.type, enabled=False):
            samples = output.shape[-1] // self.mdct.hop * self.mdct.hop
            pair = SpectrogramPair(output[..., :samples], target[..., :samples], mel_scales)
            values = {name: LOSS_TERMS[name](self, pair) for name in self.weights}
            total = sum((self.weights[name] * value for name, value in values.items()), pair.output.new_zeros(()))
            if log_all:
                with torch.no_grad():
                    values |= {name: term(self, pair) for name, term in LOSS_TERMS.items() if name not in values}
        return LossReport(total, {name: value.detach() for name, value in values.items()})
