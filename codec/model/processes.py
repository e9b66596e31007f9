"""The processes that share a batch: each computes a part of its items, and they combine what depends on all of them.

Source: data-parallel training, P. Goyal et al., "Accurate, large minibatch SGD", 2017; means over all processes in the
middle of a forward pass are those of synchronised batch normalisation, C. Peng et al., "MegDet", CVPR 2018.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

Plain = TypeVar("Plain")


class Processes:
    """The only process of a training, with the whole batch: each method returns what it gets."""

    rank = 0
    """Number of this process; process 0 is the leader, which alone writes files and messages."""
    count = 1
    """Number of processes."""

    @property
    def is_leader(self) -> bool:
        """Whether this is process 0."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """Add a tensor up over the processes, without gradients.

        Args:
            tensor: of the same shape in each process

        Returns:
            The sum, bit for bit the same in each process.
        """
        return tensor

    def mean(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Average scalars over the processes, without gradients.

        Args:
            values: as many in each process

        Returns:
            Their means.
        """
        return list(values)

    def gather(self, tensor: Tensor) -> Tensor:
        """Collect the parts of a batch.

        Gradients reach each part from all processes. As a loss is averaged over them later, this makes gradients those
        of the whole batch.

        Args:
            tensor: items of this process ``[items, ...]``

        Returns:
            Items of all processes ``[count * items, ...]``, ordered by process.
        """
        return tensor

    def own_part(self, tensor: Tensor) -> Tensor:
        """Return the items of this process; the opposite of :meth:`gather`.

        Args:
            tensor: items of all processes ``[count * items, ...]``

        Returns:
            ``[items, ...]``.
        """
        return tensor

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace gradients by their means over the processes, which are those of the whole batch.

        Args:
            parameters: those without a gradient are left out; they must be the same ones in each process
        """

    def copy_from_leader(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors by the leader's.

        Args:
            tensors: of the same shapes in each process
        """

    def from_leader(self, value: Plain) -> Plain:
        """Return the leader's value.

        Args:
            value: plain values; those of other processes are ignored

        Returns:
            The value that the leader gave.
        """
        return value

    def any(self, flag: bool) -> bool:
        """Decide together.

        Args:
            flag: this process's wish

        Returns:
            True if one of the processes said so.
        """
        return flag

    def wait(self) -> None:
        """Wait until all processes have come this far."""


ONE_PROCESS = Processes()


class ProcessGroup(Processes):
    """Processes that ``torch.distributed`` connects: NCCL for tensors on GPUs, Gloo for others and for decisions.

    Decisions travel between hosts alone, so that no process waits for its device to make one.
    """

    def __init__(self) -> None:
        self.rank, self.count = distributed.get_rank(), distributed.get_world_size()

    def sum(self, tensor: Tensor) -> Tensor:
        """Add a tensor up over the processes; see :meth:`Processes.sum`.

        Args:
            tensor: of the same shape in each process

        Returns:
            The sum.
        """
        total = tensor.detach().clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    def mean(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Average scalars; see :meth:`Processes.mean`.

        Args:
            values: as many in each process

        Returns:
            Their means.
        """
        if not values:
            return []
        return list((self.sum(torch.stack([value.detach() for value in values])) / self.count).unbind())

    def gather(self, tensor: Tensor) -> Tensor:
        """Collect the parts of a batch; see :meth:`Processes.gather`.

        Args:
            tensor: items of this process ``[items, ...]``

        Returns:
            Items of all processes.
        """
        gathered: Tensor = _Gather.apply(tensor, self)  # type: ignore[no-untyped-call]
        return gathered

    def own_part(self, tensor: Tensor) -> Tensor:
        """Return the items of this process; see :meth:`Processes.own_part`.

        Args:
            tensor: items of all processes

        Returns:
            Those of this one.
        """
        return tensor.chunk(self.count)[self.rank]

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Average gradients, all in one message; see :meth:`Processes.average_gradients`.

        Args:
            parameters: the parameters
        """
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        total = self.sum(torch.cat([gradient.flatten() for gradient in gradients])) / self.count
        parts = total.split([gradient.numel() for gradient in gradients])
        torch._foreach_copy_(gradients, [part.view_as(gradient) for part, gradient in zip(parts, gradients)])

    def copy_from_leader(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors by the leader's.

        Args:
            tensors: of the same shapes in each process
        """
        with torch.no_grad():
            for tensor in tensors:
                whole = tensor.detach().contiguous()
                distributed.broadcast(whole, src=0)
                tensor.copy_(whole)

    def from_leader(self, value: Plain) -> Plain:
        """Return the leader's value; see :meth:`Processes.from_leader`.

        Args:
            value: plain values

        Returns:
            The value that the leader gave.
        """
        values = [value if self.is_leader else None]
        distributed.broadcast_object_list(values, src=0)
        return values[0]  # type: ignore[return-value]

    def any(self, flag: bool) -> bool:
        """Decide together; see :meth:`Processes.any`.

        Args:
            flag: this process's wish

        Returns:
            True if one of the processes said so.
        """
        return bool(self.sum(torch.tensor(float(flag))))

    def wait(self) -> None:
        """Wait until all processes have come this far."""
        self.any(False)


class _Gather(torch.autograd.Function):
    """Gather with gradients: those of a part are the sum over all processes."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, processes: ProcessGroup) -> Tensor:
        ctx.processes = processes
        parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(processes.count)]
        distributed.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return ctx.processes.own_part(ctx.processes.sum(gradient)), None
