"""The time limit: what counts as training time, and how a run ends by it."""

import time
from collections import Counter
from types import SimpleNamespace

from codec.model.codec import Codec
from codec.pretrained.checkpoint import load_codec
from codec.training import step_lock, time_limit
from codec.training.metrics_log import MetricsLog
from codec.training.state import TrainingState
from codec.training.step_lock import NO_LOCK, StepLockHolder
from codec.training.time_limit import TimeLimit
from codec.training.trainer import TrainingOptions, train
from tests.helpers.runs import tiny_recipe


def test_the_time_limit_stops_a_run_which_is_validated_once_more(tmp_path, prepared):
    result = train(tiny_recipe("--train.max_minutes=1e-5"), prepared, tmp_path, quiet=True)
    assert "1e-05 minutes" in result.stopped and 1 <= result.steps < 12
    assert result.best_step == result.steps and load_codec(tmp_path)


def test_the_progress_bar_follows_the_time_limit(tmp_path, prepared, capsys):
    result = train(tiny_recipe("--train.max_minutes=1e-5"), prepared, tmp_path, quiet=True)
    assert f"training: 100% {result.steps}/{result.steps} step [" in capsys.readouterr().err
    state, metrics, lock = TrainingState(), MetricsLog(tmp_path / "none.csv"), StepLockHolder(NO_LOCK)
    limited = TimeLimit(tiny_recipe("--train.steps=1000", "--train.max_minutes=2"), state, metrics, lock)
    assert limited.expected_steps() is None
    limited.elapsed_s = 30.0
    for state.step, expected in ((10, 40), (100, 400), (400, 1000)):
        assert limited.expected_steps() == expected
    assert TimeLimit(tiny_recipe("--train.max_minutes=0"), TrainingState(), metrics, lock).expected_steps() == 12


def test_waiting_for_the_lock_does_not_count_as_training_time(tmp_path, prepared, monkeypatch):
    """The lock is held for the first weights, each step and each batch of validation; each time takes an hour."""
    turns, waited_s, worked = [], 0, []

    class SlowLock:
        def __enter__(self):
            nonlocal waited_s
            turns.append("begun")
            waited_s += 3600

        def __exit__(self, *_):
            turns.append("ended")

    class Watched(Codec):
        def initialise(self, *given):
            worked.append(("first weights", turns[-1]))
            super().initialise(*given)

        def forward(self, *given):
            worked.append(("step" if self.training else "validation", turns[-1]))
            return super().forward(*given)

    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + waited_s)
    for module in (time_limit, step_lock):
        monkeypatch.setattr(module, "time", clock)
    options = TrainingOptions(build=Watched, fit_tables=False, keep_audio_samples=False, step_lock=SlowLock())
    result = train(tiny_recipe(), prepared, tmp_path, quiet=True, options=options)
    kinds = Counter(worked)
    assert kinds == {("first weights", "begun"): 1, ("step", "begun"): 12, ("validation", "begun"): 3 * 2 * 2}
    assert turns == ["begun", "ended"] * len(worked)
    assert result.minutes < 60
