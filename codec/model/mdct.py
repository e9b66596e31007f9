r"""Modified discrete cosine transform with a sine window, as plain matrix products.

Frame :math:`i` covers the samples :math:`[(i-1)h, (i+1)h)` for a hop of :math:`h` samples and holds :math:`h`
coefficients

.. math::
    X_i[k] = \sqrt{2/h} \sum_{n=0}^{2h-1} w[n]\, x[(i-1)h+n]
    \cos\big(\tfrac{\pi}{h}(n+\tfrac12+\tfrac h2)(k+\tfrac12)\big).

With :math:`w[n] = \sin(\pi(n+\tfrac12)/2h)`, which satisfies the Princen-Bradley condition, the transform is orthogonal
(TDAC) and overlapping frames add up to the signal exactly.

Source: J. Princen, A. Johnson, A. Bradley, "Subband/transform coding using filter bank designs based on time domain
aliasing cancellation", ICASSP 1987.
"""

import math

import torch
from torch import Tensor, nn

from codec.model.products import linear


class MDCT(nn.Module):
    """Orthogonal MDCT of streams.

    Args:
        hop: samples between frames, and coefficients per frame

    The transform reconstructs perfectly, one hop late:

    >>> mdct = MDCT(4)
    >>> waveform = torch.arange(12.0)[None]
    >>> back, _ = mdct.synthesis(mdct.analysis(waveform))
    >>> torch.allclose(back[:, 4:], waveform[:, :-4], atol=1e-5)
    True
    """

    basis: Tensor

    def __init__(self, hop: int):
        super().__init__()
        self.hop = hop
        n = torch.arange(2 * hop, dtype=torch.float64)
        k = torch.arange(hop, dtype=torch.float64)
        window = torch.sin(math.pi * (n + 0.5) / (2 * hop))
        phase = math.pi / hop * torch.outer(n + 0.5 + hop / 2, k + 0.5)
        basis = math.sqrt(2 / hop) * window[:, None] * torch.cos(phase)
        self.register_buffer("basis", basis.float(), persistent=False)

    def initial_state(self, streams: int) -> Tensor:
        """Return the state before the first sample: zeros.

        Args:
            streams: number of streams

        Returns:
            ``[streams, hop]``.
        """
        return self.basis.new_zeros(streams, self.hop)

    def analysis(self, waveform: Tensor, previous: Tensor | None = None) -> Tensor:
        """Compute coefficients.

        Args:
            waveform: ``[batch, frames * hop]``
            previous: the ``hop`` samples before ``[batch, hop]``, which the first frame covers (default: zeros)

        Returns:
            ``[batch, frames, hop]``.
        """
        previous = self.initial_state(waveform.shape[0]) if previous is None else previous
        earlier = torch.cat([previous, waveform[:, : -self.hop]], 1).reshape(-1, self.hop)
        later = waveform.reshape(-1, self.hop)
        spectrum = linear(earlier, self.basis[: self.hop].T) + linear(later, self.basis[self.hop :].T)
        return spectrum.view(waveform.shape[0], -1, self.hop)

    def synthesis(self, coefficients: Tensor, previous: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute samples.

        Args:
            coefficients: ``[batch, frames, hop]``
            previous: state after the previous block ``[batch, hop]`` (default: zeros): samples to which the next frame
                is still to be added

        Returns:
            Samples ``[batch, frames * hop]``, which end in the middle of the last frame, and the next state.
        """
        previous = self.initial_state(coefficients.shape[0]) if previous is None else previous
        halves = linear(coefficients, self.basis)
        rising, falling = halves[..., : self.hop], halves[..., self.hop :]
        carried = torch.cat([previous[:, None], falling[:, :-1]], 1)
        return (rising + carried).flatten(1), falling[:, -1]
