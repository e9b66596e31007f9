"""While one process measures speed, the others wait."""

import time
from contextlib import ExitStack

from codec.model.codec import Codec
from codec.recipe import read_recipe
from codec.training.trainer import TrainingOptions, train
from eval.search.exclusive_timing import ExclusiveTiming
from tests.helpers.children import CONTEXT, running, wait_until
from tests.helpers.tiny import TINY


def _step_by_step(out, steps):
    timing = ExclusiveTiming(out)
    while True:
        with timing:
            steps.value += 1
            time.sleep(0.002)


def _training(out, data, steps, validations):
    class Counted(Codec):
        def forward(self, *given):
            (steps if self.training else validations).value += 1
            return super().forward(*given)

    recipe = read_recipe("quickstart", [*TINY, "--train.steps=100000", "--train.validate_every=1"])
    lock = ExclusiveTiming(out)
    options = TrainingOptions(build=Counted, fit_tables=False, keep_audio_samples=False, step_lock=lock)
    train(recipe, data, out / "run", quiet=True, options=options)


def test_steps_of_any_work_and_of_a_training_with_its_validations_wait(tmp_path, prepared):
    counts = [CONTEXT.Value("q", 0, lock=False) for _ in range(4)]
    with ExitStack() as stack:
        workers = [stack.enter_context(running(_step_by_step, tmp_path, count)) for count in counts[:2]]
        workers.append(stack.enter_context(running(_training, tmp_path, prepared, *counts[2:])))
        done = [0] * 4
        for _ in range(4):
            before = done
            wait_until(lambda before=before: all(count.value > old for count, old in zip(counts, before)), *workers)
            with ExclusiveTiming(tmp_path).alone():
                done = [count.value for count in counts]
                time.sleep(0.2)
                assert [count.value for count in counts] == done
