"""Lightning's strategy for one process of a training, alone or among several."""

from typing import Any

import torch
from lightning.pytorch.strategies import SingleDeviceStrategy

from codec.model.processes import Processes


class SharedBatchStrategy(SingleDeviceStrategy):
    """Computes on one device, while the training step itself combines what the processes have computed.

    Lightning's ``DDPStrategy`` is no basis for it: with more than one process, Lightning asks the device before each
    step whether a signal has come (a stall), broadcasts inside of signal handlers (a deadlock, if the others compute),
    and reduces gradients in each backward pass, of which a step with a discriminator has two that reach different
    parameters. Here a step has one message of all gradients, see :class:`codec.model.processes.ProcessGroup`.

    Args:
        device: device of this process
        processes: those that share each batch; the leader alone writes checkpoints
    """

    def __init__(self, device: torch.device, processes: Processes):
        super().__init__(device)
        self._processes = processes

    @property
    def is_global_zero(self) -> bool:
        """Whether this is the process that writes files."""
        return self._processes.is_leader

    def barrier(self, *_: Any, **__: Any) -> None:
        """Wait until all processes have come this far."""
        self._processes.wait()
