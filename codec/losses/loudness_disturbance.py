r"""Loudness disturbance: how much the loudness of the output differs from that of the target, after PESQ.

Powers in critical bands become specific loudness (Zwicker),
:math:`L = (P_0 / 0.5)^{0.23} ((0.5 + 0.5 P / P_0)^{0.23} - 1)` with the threshold in quiet :math:`P_0`. Differences
below a quarter of the smaller loudness count as masked. The rest is weighted twice: as it is (symmetric), and by how
much stronger the output is than the target (asymmetric), since sounds that a codec adds are more annoying than sounds
that it leaves out. Both are averaged over bands and frames and added as in PESQ, whose raw score of 4.5 falls by that
sum. Unlike PESQ, nothing is aligned in time or level and nothing is equalised: a codec in training needs neither.

Sources: ITU-T P.862 (2001) and P.862.2 (2007), section 10.2; E. Zwicker, R. Feldtkeller, "Das Ohr als
Nachrichtenempfänger", 1967.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from codec.losses.bark import hz_to_bark, make_bark_bands, power_divisor, threshold_in_quiet_db_spl
from codec.losses.spectrograms import SpectrogramPair, cached_constant
from codec.model.products import linear

SPEECH_DB_SPL = 79.0
"""Level at which the target is assumed to be played, independent of its level in the file."""
LEAST_DBFS = -50.0
"""Lowest RMS level of a target that is raised to :data:`SPEECH_DB_SPL`; quieter targets are raised by as much."""
SONE = 0.1866
"""Scale of loudness for wide-band signals (P.862.2)."""
PIECE_FRAMES = 40
"""Frames in 320 ms at 16 kHz, over which :func:`average_over_time` stresses the worst; fewer ms at higher rates."""
TINY = 1e-6
"""Keeps gradients finite where there is no disturbance."""
SYMMETRIC, ASYMMETRIC = 0.1, 0.0309
"""Weights of the two disturbances (P.862)."""


@dataclass(frozen=True)
class LoudnessBands:
    """Constants of the loudness model for one sample rate."""

    assignment: Tensor
    """Sums squared STFT magnitudes to mean squares, full scale 1, ``[bins, bands]``."""
    quiet: Tensor
    """Threshold in quiet as a power relative to 0 dB SPL, ``[bands]``."""
    width: Tensor
    """Width of each band in Bark, ``[bands]``."""


def loudness_window(sample_rate: int) -> int:
    """Return the length of the STFT window: 21 to 32 ms, as in PESQ.

    Args:
        sample_rate: sample rate in Hz

    Returns:
        Length in samples.
    """
    return 512 if sample_rate <= 24000 else 1024


@cached_constant
def loudness_bands(sample_rate: int) -> LoudnessBands:
    """Return the constants of the loudness model.

    Args:
        sample_rate: sample rate in Hz

    Returns:
        The constants, in float32 on the device that follows the sample rate.
    """
    window = loudness_window(sample_rate)
    bands = make_bark_bands(sample_rate, window)
    centre = bands.centre_hz
    edges = torch.cat([torch.zeros(1), (centre[1:] + centre[:-1]) / 2, bands.bins_hz[-1:]])
    width = hz_to_bark(edges).diff()
    assignment = bands.assignment / power_divisor(window)
    quiet = 10 ** (threshold_in_quiet_db_spl(centre) / 10)
    return LoudnessBands(assignment.float(), quiet.float(), width.float())


def specific_loudness(power: Tensor, bands: LoudnessBands) -> Tensor:
    """Return Zwicker's specific loudness of powers in critical bands.

    Args:
        power: powers relative to 0 dB SPL, ``[..., bands]``
        bands: constants of the loudness model

    Returns:
        Loudness in sone per Bark, of the same shape; 0 below the threshold in quiet.
    """
    return SONE * (bands.quiet / 0.5) ** 0.23 * ((0.5 + 0.5 * power / bands.quiet).clamp(min=1.0) ** 0.23 - 1)


def loudness_loss(pair: SpectrogramPair, sample_rate: int) -> Tensor:
    """Return the loudness disturbance as a loss.

    Args:
        pair: output and target
        sample_rate: sample rate in Hz

    Returns:
        Mean over the batch of the approximate loss in the raw PESQ score, a scalar: 0 for identical waveforms, 1 to 3
        for codecs.
    """
    bands, window = loudness_bands(sample_rate, pair.output.device), loudness_window(sample_rate)
    level = pair.target.square().mean(1).clamp(min=10 ** (LEAST_DBFS / 10))
    gain = 10 ** (SPEECH_DB_SPL / 10) / level[:, None, None]
    with torch.no_grad():
        target = linear(pair.target_spectrogram(window).square(), bands.assignment.T) * gain
        target_loudness = specific_loudness(target, bands)
        # disturbances of quiet frames are more audible than their loudness suggests (P.862, 10.2.10)
        emphasis = ((target.sum(-1) + 1e5) / 1e7) ** -0.04
    output = linear(pair.output_spectrogram(window).square(), bands.assignment.T) * gain
    output_loudness = specific_loudness(output, bands)
    mask = 0.25 * torch.minimum(output_loudness, target_loudness)
    audible = torch.nn.functional.relu((output_loudness - target_loudness).abs() - mask)
    added = ((output + 50) / (target + 50)) ** 1.2
    added = torch.where(added < 3, torch.zeros_like(added), added.clamp(max=12))
    weighted, total = audible * bands.width, bands.width.sum()
    symmetric = (((weighted.square() * total).sum(-1) + TINY).sqrt() - TINY**0.5) * emphasis
    asymmetric = (weighted * added).sum(-1) * emphasis
    return SYMMETRIC * average_over_time(symmetric).mean() + ASYMMETRIC * average_over_time(asymmetric).mean()


def average_over_time(frames: Tensor) -> Tensor:
    """Average the disturbances of frames as PESQ does, so that short bad passages weigh more than their length.

    Args:
        frames: disturbance of each frame, ``[batch, frames]``

    Returns:
        ``[batch]``: the root of the mean square over pieces of :data:`PIECE_FRAMES` that overlap by half, each of which
        is the sixth root of the mean sixth power of its frames.
    """
    pieces = (frames + TINY).unfold(1, min(PIECE_FRAMES, frames.shape[1]), PIECE_FRAMES // 2)
    return (pieces**6).mean(-1).pow(1 / 3).mean(1).sqrt() - TINY
