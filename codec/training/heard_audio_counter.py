"""The callback that counts what a training hears."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from codec.dataset.packed_split import PackedSplit
from codec.model.processes import ONE_PROCESS, Processes
from codec.pretrained.registry import model_name
from codec.runtime.json_files import from_json
from codec.training.batches import CountedBatch
from codec.training.heard_audio import HeardAudio, read_heard_audio
from codec.training.module import CodecModule


class HeardAudioCounter(Callback):
    """Counts the frames of each source that the steps so far have trained on.

    Args:
        split: the training split
        processes: those that train together, each of which counts its own crops
    """

    state_key = "heard"  # type: ignore[assignment]  # a property there, which takes the name of the class

    def __init__(self, split: PackedSplit, processes: Processes = ONE_PROCESS):
        self._split_sources, self.processes = split.sources, processes
        self._own: Counter[str] = Counter()
        self.heard = HeardAudio(split.sample_rate)
        self._restored = False

    def start_from(self, parent: Path) -> None:
        """Begin a run with what the model that it starts from has heard.

        Args:
            parent: folder of that model
        """
        before = read_heard_audio(parent)
        if before is None:
            self.heard.unrecorded.append(
                f"the training of {Path(model_name(parent)).name}, from which this one started"
            )
        else:
            self.heard = before

    def state_dict(self) -> dict[str, Any]:
        """Return the counts of all processes, for a checkpoint."""
        self._add_up()
        return asdict(self.heard)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the counts of a checkpoint."""
        self.heard, self._restored = from_json(HeardAudio, state), True

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Note which steps an earlier version did not count, and describe the present training split."""
        assert isinstance(module, CodecModule)
        if module.state.step and not self._restored:
            self.heard.unrecorded.append(f"the steps up to {module.state.step:,}")
        self.heard.enter_split(self._split_sources)

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: CountedBatch, batch_index: int
    ) -> None:
        """Count the crops of the step."""
        self._own.update(batch.frames)

    def on_validation_start(self, *_: Any) -> None:
        """Add up the counts of all processes, which are saved with the best model."""
        self._add_up()

    def _add_up(self) -> None:
        names = [source.source for source in self._split_sources]
        own = torch.tensor([self._own[name] for name in names], dtype=torch.int64)
        self.heard.add(dict(zip(names, self.processes.sum(own).tolist())))
        self._own.clear()
