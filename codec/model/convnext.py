"""Causal ConvNeXt blocks at frame rate: every layer takes ``(x, state)`` to ``(y, state)``.

Features are frames-major, ``[batch, frames, features]``, so that all but the depthwise convolution is one matrix
product. There is no normalisation over time and no recurrence: a block sees the previous ``kernel - 1`` frames.

Source: Z. Liu et al., "A ConvNet for the 2020s", CVPR 2022; used at frame rate by H. Siuzdak, "Vocos", ICLR 2024.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.config import NetworkConfig
from codec.model.products import Linear, linear

StreamState = tuple[Tensor, ...]
"""State between two blocks of frames; the first dimension of each tensor is the streams."""

SILENT_POWER = 1e-6
"""Power below which a frame counts as silent; the mean power of frames is 1."""


def is_skip_path(name: str) -> bool:
    """Determine whether a parameter is the linear skip path of a :class:`Stack`.

    These are fitted at initialisation. They are trained at a learning rate of their own, if at all, and stored in
    single precision.

    Args:
        name: name of the parameter in a codec

    Returns:
        True for the skip paths of encoder and decoder.
    """
    return name.endswith(".direct")


class CausalDepthwise(nn.Module):
    """Convolution of each feature with taps of its own over the present and past frames.

    Args:
        width: number of features
        kernel: taps per feature
    """

    def __init__(self, width: int, kernel: int):
        super().__init__()
        self.kernel = kernel
        bound = kernel**-0.5
        self.weight = nn.Parameter(torch.empty(kernel, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Filter a block.

        Args:
            x: ``[batch, frames, width]``
            state: the ``kernel - 1`` frames before ``[batch, kernel - 1, width]``

        Returns:
            ``[batch, frames, width]``, and the next state.
        """
        frames = x.shape[1]
        x = torch.cat([state.to(x.dtype), x], 1)
        bias, weights = self.bias.to(x.dtype), self.weight.to(x.dtype)
        if frames == 1:  # a stream of single frames: call overhead dominates, so make few calls (measured)
            return bias + (x * weights).sum(1, keepdim=True), x[:, 1:]
        y = torch.addcmul(bias, x[:, :frames], weights[0])
        for tap in range(1, self.kernel):  # in place: faster than a convolution (measured)
            y.addcmul_(x[:, tap : tap + frames], weights[tap])
        return y, x[:, frames:]


class ConvNeXtBlock(nn.Module):
    """Residual block: depthwise convolution, normalisation, and two linear layers with a GELU in between.

    Args:
        config: sizes of the network
    """

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.depthwise = CausalDepthwise(config.width, config.kernel)
        self.norm = nn.LayerNorm(config.width)
        self.expand = Linear(config.width, config.expansion * config.width)
        self.contract = Linear(config.expansion * config.width, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.scale = nn.Parameter(torch.full((config.width,), 1 / config.depth))

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Compute a block of frames.

        Args:
            x: ``[batch, frames, width]``
            state: state of the convolution ``[batch, kernel - 1, width]``

        Returns:
            ``[batch, frames, width]``, and the next state.
        """
        y, state = self.depthwise(x, state)
        y = self.contract(F.gelu(self.expand(self.norm(y))))
        if self.training:
            y = self.dropout(y)
        return x + self.scale * y, state


class Stack(nn.Module):
    """A linear skip path in parallel with a network: linear layer, ``depth`` blocks, normalisation, linear layer.

    The skip path (``direct``) makes an untrained codec a transform codec (see
    :meth:`codec.model.codec.Codec.initialise`); the blocks learn what a linear transform cannot do. Their last
    normalisation removes the level of the signal, so their output is multiplied by the level of the skip path's frame:
    what is learnt at one level holds at all levels.

    Args:
        features_in: features per frame of the input
        features_out: features per frame of the output
        config: sizes of the network
    """

    def __init__(self, features_in: int, features_out: int, config: NetworkConfig):
        super().__init__()
        self.first = Linear(features_in, config.width)
        self.blocks = nn.ModuleList(ConvNeXtBlock(config) for _ in range(config.depth))
        self.kernel = config.kernel
        self.norm = nn.LayerNorm(config.width)
        self.last = Linear(config.width, features_out)
        self.direct = nn.Parameter(torch.randn(features_out, features_in) * features_in**-0.5)

    def initial_state(self, streams: int) -> StreamState:
        """Return the state before the first frame: zeros.

        Args:
            streams: number of streams

        Returns:
            One tensor ``[streams, kernel - 1, width]`` for each block.
        """
        shape = streams, self.kernel - 1, self.first.out_features
        return tuple(self.first.bias.new_zeros(shape) for _ in self.blocks)

    def forward(self, x: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Compute a block of frames.

        Args:
            x: ``[batch, frames, features_in]``
            state: states of the blocks

        Returns:
            ``[batch, frames, features_out]``, and the next states.
        """
        direct = linear(x, self.direct.to(x.dtype))
        level = (direct.square().mean(-1, keepdim=True) + SILENT_POWER).sqrt()
        x = self.first(x)
        states = []
        for block, past in zip(self.blocks, state):
            x, past = block(x, past)
            states.append(past)
        return direct + level * self.last(self.norm(x)), tuple(states)
