"""Copies between the host and a device that no step waits for."""

from collections.abc import Sequence

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Send a tensor of the host to a device.

    Args:
        tensor: on the CPU
        device: the device

    Returns:
        The tensor there; the same one if that is the CPU.
    """
    pinned = tensor.pin_memory() if device.type == "cuda" and torch.cuda.is_available() else tensor
    return pinned.to(device, non_blocking=True)


class HostCopy:
    """Scalars on their way to the host.

    The copy is queued behind the computation of the values; the host goes on until it reads them.

    Args:
        values: scalars of one device
    """

    def __init__(self, values: Sequence[Tensor]):
        stacked = torch.stack([value.detach().float() for value in values]) if values else torch.empty(0)
        self._copy = stacked.to("cpu", non_blocking=True)
        self._arrived: torch.cuda.Event | None = None
        if stacked.is_cuda:
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    @property
    def has_arrived(self) -> bool:
        """Whether reading would not wait."""
        return self._arrived is None or self._arrived.query()

    def read(self) -> list[float]:
        """Return the values; waits until they have arrived.

        Returns:
            One number for each value.
        """
        if self._arrived is not None:
            self._arrived.synchronize()
        values: list[float] = self._copy.tolist()
        return values
