"""Which audio samples of a run are kept."""

import math

from codec.training.audio_samples import select_steps_to_keep


def test_few_samples_are_kept_however_many_validations_there_are():
    folders: list[int] = []
    for step in range(10, 20_000, 10):
        folders = sorted({*folders, step})
        best = max(10, step // 30 * 10)  # any
        folders = sorted(select_steps_to_keep([*folders], best, 10) & set(folders))
        assert len(folders) <= 8 and folders[-1] == step and folders[0] == 10
    assert {step for step in folders if math.log2(step / 10).is_integer()} >= {10, 1280, 2560, 5120, 10240}
