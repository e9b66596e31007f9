r"""Loudness disturbance: how far the loudness of the output lies from that of the target, as PESQ understands it.

Powers in critical bands become specific loudness (Zwicker),
:math:`L = (P_0 / 0.5)^{0.23} ((0.5 + 0.5 P / P_0)^{0.23} - 1)` with the threshold in quiet :math:`P_0`. Differences
below a quarter of the smaller loudness count as masked. What is left is weighed twice: as it is, and, since what a
codec adds is more annoying than what it leaves out, by how much stronger the output is than the target. Both are
averaged over bands and frames and added as in PESQ, whose raw score of 4.5 falls by that sum. The alignment in time and
level and the equalisation of PESQ are left out: a codec in training needs none.

Sources: ITU-T P.862 (2001) and P.862.2 (2007), section 10.2; E. Zwicker, R. Feldtkeller, "Das Ohr als
Nachrichtenempfänger", 1967.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from codec.losses.noise_to_mask import bark, quiet_db_spl
from codec.losses.spectrograms import Pair, constant

BANDS_PER_BARK = 2
SPEECH_DB_SPL = 79.0
"""At which the target is thought to be heard, whatever its level."""
LEAST_DBFS = -50.0
"""RMS level of the target under which it is silence, and not made louder."""
SONE = 0.1866
"""Scale of loudness for wide-band signals (P.862.2)."""
PIECE = 40
"""Frames in 320 ms at 16 kHz; at other rates the pieces are shorter."""
TINY = 1e-6
"""Keeps gradients finite where nothing is disturbed."""
SYMMETRIC, ASYMMETRIC = 0.1, 0.0309
"""Weights of the two disturbances (P.862)."""


@dataclass(frozen=True)
class Bands:
    """``assignment`` ``[bins, bands]`` sums squared magnitudes to mean squares, full scale 1; ``quiet`` and ``width``
    ``[bands]``: threshold as power relative to 0 dB SPL, share of the Bark scale."""

    assignment: Tensor
    quiet: Tensor
    width: Tensor


def window_for(sample_rate: int) -> int:
    return 512 if sample_rate <= 24000 else 1024


@constant
def bands_for(sample_rate: int, device: torch.device) -> Bands:
    window = window_for(sample_rate)
    frequencies = torch.linspace(0, sample_rate / 2, window // 2 + 1, dtype=torch.float64)
    _, index = (bark(frequencies) * BANDS_PER_BARK).floor().long().unique(return_inverse=True)
    assignment = torch.nn.functional.one_hot(index).double()
    centre = (assignment * frequencies[:, None]).sum(0) / assignment.sum(0)
    edges = torch.cat([torch.zeros(1), (centre[1:] + centre[:-1]) / 2, frequencies[-1:]])
    width = bark(edges).diff()
    # Parseval with a Hann window, see codec.losses.noise_to_mask
    assignment = assignment / (window / 2 * 3 / 8 * window)
    quiet = 10 ** (quiet_db_spl(centre) / 10)
    return Bands(assignment.float().to(device), quiet.float().to(device), width.float().to(device))


def loudness(power: Tensor, bands: Bands) -> Tensor:
    """Powers relative to 0 dB SPL ``[..., bands]`` to loudness; what is below the threshold has none."""
    return SONE * (bands.quiet / 0.5) ** 0.23 * ((0.5 + 0.5 * power / bands.quiet).clamp(min=1.0) ** 0.23 - 1)


def disturbance(pair: Pair, sample_rate: int) -> Tensor:
    """What the raw PESQ score would lose, about: 0 for identical waves, 1 to 3 for codecs; mean over the batch."""
    bands, window = bands_for(sample_rate, pair.output.device), window_for(sample_rate)
    level = pair.target.square().mean(1).clamp(min=10 ** (LEAST_DBFS / 10))
    gain = 10 ** (SPEECH_DB_SPL / 10) / level[:, None, None]
    with torch.no_grad():
        target = pair.target_spectrum(window).square() @ bands.assignment * gain
        wanted = loudness(target, bands)
        # quiet frames are heard more than their loudness says (P.862, 10.2.10)
        emphasis = ((target.sum(-1) + 1e5) / 1e7) ** -0.04
    output = pair.output_spectrum(window).square() @ bands.assignment * gain
    heard = loudness(output, bands)
    audible = torch.nn.functional.relu((heard - wanted).abs() - 0.25 * torch.minimum(heard, wanted))
    added = ((output + 50) / (target + 50)) ** 1.2
    added = torch.where(added < 3, torch.zeros_like(added), added.clamp(max=12))
    weighted, total = audible * bands.width, bands.width.sum()
    symmetric = (((weighted.square() * total).sum(-1) + TINY).sqrt() - TINY**0.5) * emphasis
    asymmetric = (weighted * added).sum(-1) * emphasis
    return SYMMETRIC * over_time(symmetric).mean() + ASYMMETRIC * over_time(asymmetric).mean()


def over_time(frames: Tensor) -> Tensor:
    """``[batch, frames]`` to ``[batch]``: the sixth power mean within pieces of 320 ms that overlap by half, for what
    is worst in a syllable is what is heard, and the second over all pieces."""
    pieces = (frames + TINY).unfold(1, min(PIECE, frames.shape[1]), PIECE // 2)
    return (pieces**6).mean(-1).pow(1 / 3).mean(1).sqrt() - TINY
