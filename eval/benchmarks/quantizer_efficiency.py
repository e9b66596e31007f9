"""How close a residual vector quantizer comes to the rate–distortion bound of its latents.

``python -m eval.benchmarks.quantizer_efficiency MODEL --data DIR`` prints the table: the signal-to-noise ratio of the
latents with the first 1, 2, … codebooks, and the greatest one that a Gaussian source of the same covariance allows at
as many bits (reverse water-filling; T. Cover, J. Thomas, "Elements of information theory", section 10.3). The second
bound also knows the level of each frame, as an adaptive coder would. The difference is what a better quantizer or
entropy coder could gain; it says nothing of what is heard.
"""

from collections.abc import Sequence

import numpy as np
import torch

from codec.audio import FloatArray
from codec.audio.channels import channels_to_streams
from codec.errors import UserError
from codec.model.codec import Codec
from codec.model.quantizers.rvq import ResidualVQ
from codec.runtime.progress import ProgressBar
from eval.benchmarks.validation_table import make_parser, print_table
from eval.evaluation.clip_selection import Excerpt
from eval.pages.text_table import Table

NUMBERS = (1, 2, 3, 6, 9, 12, 18, 24, 32)
"""Numbers of codebooks that have a row, as far as the model has them."""

_CLIPS = 24
_BISECTIONS = 100
_LEAST = 1e-12


def gaussian_distortion(variances: FloatArray, bits: float) -> float:
    """Compute the least mean squared error of independent Gaussian variables at a number of bits.

    Args:
        variances: ``[vectors, dimension]``; each vector may have variances of its own.
        bits: mean number of bits per vector.

    Returns:
        The mean over vectors of the squared error, summed over dimensions.
    """
    low, high = np.log(_LEAST), np.log(max(float(variances.max()), _LEAST))
    for _ in range(_BISECTIONS):
        level = (low + high) / 2
        rate = 0.5 * np.log2(np.maximum(variances / np.exp(level), 1)).sum(-1).mean()
        low, high = (level, high) if rate > bits else (low, level)
    return float(np.minimum(variances, np.exp(high)).sum(-1).mean())


def tabulate_efficiency(codec: Codec, clips: Sequence[Excerpt]) -> Table:
    """Quantize the latents of clips, and compare with the bounds.

    Args:
        codec: codec in evaluation mode, with a residual vector quantizer.
        clips: clips whose first channel is coded.

    Returns:
        A row for each of :data:`NUMBERS`. Bits are the sums of the entropies of the codes of each codebook.

    Raises:
        UserError: the model has no residual vector quantizer.
    """
    quantizer = codec.quantizer
    if not isinstance(quantizer, ResidualVQ):
        raise UserError("this table is for models with a residual vector quantizer (codec.quantizer.kind: rvq)")
    latents = torch.cat([_latents(codec, clip) for clip in ProgressBar(clips, desc="latents", unit="clip")]).double()
    levels = latents.square().sum(1)
    power = float(levels.mean())
    relative = (levels / power).clamp(min=_LEAST)
    common = _variances(latents)
    by_frame = relative[:, None].numpy() * _variances(latents / relative.sqrt()[:, None])
    rows, bits, residual = [], 0.0, latents.float()
    for number, stage in enumerate(quantizer.stages, 1):
        with torch.no_grad():
            _, codes = stage.encode(residual)
            residual = residual - stage.lookup(codes)
        shares = torch.bincount(codes).double() / len(codes)
        bits += float(torch.special.entr(shares).sum() / np.log(2))
        if number in NUMBERS:
            errors = (
                float(residual.square().sum(1).mean()),
                *(gaussian_distortion(variances, bits) for variances in (common, by_frame)),
            )
            rows.append([str(number), f"{bits:.0f}", *(f"{10 * np.log10(power / error):.1f}" for error in errors)])
    note = (
        f"{len(latents)} latents of {len(clips)} validation clips. Signal-to-noise ratios in dB; bits per latent are"
        " entropies of the codes without context."
    )
    return Table(
        "Efficiency of the quantizer",
        note,
        ["codebooks", "bits", "quantizer", "Gaussian", "Gaussian, known level"],
        rows,
    )


def _latents(codec: Codec, clip: Excerpt) -> torch.Tensor:
    """Return continuous latents ``[frames, dimension]``."""
    streams = channels_to_streams(np.ascontiguousarray(clip.waveform[:1]), codec.config.stereo)
    encoder = codec.stream_encoder(1, quantize=False)
    latents = np.concatenate([encoder.push(streams).codes, encoder.flush().codes], 2)
    return torch.from_numpy(latents[0].T.copy())


def _variances(latents: torch.Tensor) -> FloatArray:
    """Return the variances along the principal directions of latents ``[dimension]``, at least :data:`_LEAST`."""
    values = torch.linalg.eigvalsh(latents.T @ latents / len(latents)).clamp(min=_LEAST)
    return values[None].numpy()


def _main() -> None:
    parser = make_parser(
        "eval.benchmarks.quantizer_efficiency",
        "Print how close a model's quantizer comes to the rate-distortion bound of its latents.",
        _CLIPS,
    )
    print_table(parser.parse_args(), tabulate_efficiency)


if __name__ == "__main__":
    _main()
