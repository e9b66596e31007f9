"""The exact decoder once more, from docs/exact_decoding.md: in NumPy, with integers instead of float64."""

import math

import numpy as np

Integers = np.ndarray
Weights = dict[str, np.ndarray]


def divide(value: Integers, bits: int) -> Integers:
    """Divide by ``2**bits``, and round to the nearest integer, halves to the even one."""
    below = value >> bits
    rest, half = value - (below << bits), 1 << (bits - 1)
    return below + ((rest > half) | ((rest == half) & (below & 1 == 1)))


def nearest(value: np.ndarray, bits: int) -> Integers:
    return np.rint(np.asarray(value, np.float64) * 2**bits).astype(np.int64)


def limited(value: Integers) -> Integers:
    return np.clip(value, -(2**20), 2**20)


def linear(weights: Weights, name: str, x: Integers) -> Integers:
    """Multiply activations (12 places) and weights (16 places): 28 places."""
    bias = nearest(weights[f"{name}.bias"], 16) << 12
    return x @ nearest(weights[f"{name}.weight"], 16).T + bias


def normalise(weights: Weights, name: str, x: Integers) -> Integers:
    """Normalise numbers of 8 places: 28 places."""
    count = x.shape[-1]
    x = x - limited(np.rint(x.sum(-1, keepdims=True) / count).astype(np.int64))
    deviation = np.sqrt(np.square(x).sum(-1, keepdims=True) / 2**16 / count + 1e-5)
    x = limited(nearest(x / 2**8 / deviation, 12))
    return x * nearest(weights[f"{name}.weight"], 16) + (nearest(weights[f"{name}.bias"], 16) << 12)


def decode(weights: Weights, codes: np.ndarray, hop: int, power: float) -> np.ndarray:
    """Decode codes ``[codebooks, frames]``, -1 for none, to ``frames * latent_hop`` samples, the first hop early."""
    latent = np.zeros((codes.shape[1], weights["decoder.direct"].shape[1]), np.int64)
    for stage, row in enumerate(codes):
        book, basis = (nearest(weights[f"quantizer.stages.{stage}.{name}"], 16) for name in ("codebook", "basis"))
        latent += np.where(row[:, None] < 0, 0, limited(divide(book @ basis, 20))[row])
    latent = limited(latent)
    direct = limited(divide(latent @ nearest(weights["decoder.direct"], 16).T, 16))
    power_of_frames = np.square(direct).sum(-1, keepdims=True) / 2**24 / direct.shape[1]
    level = limited(nearest(np.sqrt(power_of_frames + 1e-6), 12))
    x = limited(divide(linear(weights, "decoder.first", latent), 20))
    depth = sum(name.endswith("scale") and name.startswith("decoder.") for name in weights)
    for block in (f"decoder.blocks.{number}" for number in range(depth)):
        taps = nearest(weights[f"{block}.depthwise.weight"], 16)
        seen = np.pad(x, ((len(taps) - 1, 0), (0, 0)))
        y = (nearest(weights[f"{block}.depthwise.bias"], 16) << 8) + sum(
            seen[tap : tap + len(x)] * weight for tap, weight in enumerate(taps)
        )
        y = limited(divide(normalise(weights, f"{block}.norm", limited(divide(y, 16))), 16))
        y = limited(divide(linear(weights, f"{block}.expand", y), 16))
        gelu = [0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in (y / 2**12).flat]
        y = np.where(y > 8 << 12, y, np.where(y < -8 << 12, 0, nearest(gelu, 12).reshape(y.shape)))
        y = limited(divide(linear(weights, f"{block}.contract", y), 20))
        x = limited(divide((x << 16) + nearest(weights[f"{block}.scale"], 16) * y, 16))
    y = limited(divide(normalise(weights, "decoder.norm", x), 16))
    y = limited(divide(linear(weights, "decoder.last", y), 16))
    spectrum = limited(divide((direct << 12) + level * y, 12))
    place = np.minimum(np.abs(divide(spectrum * nearest(weights["spread"], 16), 16)), 32 << 12)
    magnitude = (place / 2**12 + 1e-4**power) ** (1 / power) - 1e-4
    coefficients = (np.sign(spectrum) * nearest(magnitude, 18)).reshape(-1, hop)
    n, k = np.arange(2 * hop)[:, None], np.arange(hop)
    basis = math.sqrt(2 / hop) * np.sin(math.pi * (n + 0.5) / (2 * hop))
    halves = coefficients @ nearest(basis * np.cos(math.pi / hop * (n + 0.5 + hop / 2) * (k + 0.5)), 18).T
    falling = np.pad(halves[:, hop:], ((1, 0), (0, 0)))[:-1]
    return ((halves[:, :hop] + falling).ravel() / 2.0**36).astype(np.float32)
