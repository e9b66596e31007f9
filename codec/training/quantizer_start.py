"""The phase without quantizer at the beginning of a training, and its end.

Networks that are first trained without quantization are not held back by codebooks that do not fit their latent yet.
At the end of the phase the codebooks are fitted anew by k-means: those that followed the latent as moving averages lie
in the subspaces of the first latent, and many of their entries are out of use.

Source: Y. Gu, E. Diao, "ESC: Efficient speech coding with cross-scale residual vector quantized transformers", EMNLP
2024, which pre-trains without quantizers.
"""

from typing import Any

from lightning.pytorch.callbacks import Callback

from codec.training.crops import Crops
from codec.training.initial_state import first_crops
from codec.training.learning_rate import share_done
from codec.training.module import CodecModule
from codec.training.status import QUANTIZED_FROM

_SEED_STEP = -2
"""Stands for a step of its own in the seed of the fit."""


class QuantizerStart(Callback):
    """Ends the phase without quantizer (``train.unquantized_share``) before the step that is due.

    Args:
        module: the training
        crops: training crops, the first of which the codebooks are fitted to
    """

    def __init__(self, module: CodecModule, crops: Crops):
        self.module, self.crops = module, crops

    def on_train_batch_start(self, *_: Any) -> None:
        """Fit the codebooks and let the quantizer take part, if the phase is over."""
        module, state, recipe = self.module, self.module.state, self.module.recipe
        if state.quantized_from is not None:
            return
        if share_done(recipe, state.step, state.time_share) < recipe.train.unquantized_share:
            return
        if recipe.train.unquantized_share:
            if module.processes.is_leader:
                crops = first_crops(recipe, self.crops).to(module.device)
                module.codec.eval().fit_codebooks(crops, module.generator_at(_SEED_STEP))
                module.codec.train()
            module.processes.copy_from_leader(module.codec.state_dict().values())
            module.write("train", {QUANTIZED_FROM: float(state.step)})
        state.quantized_from = state.step
