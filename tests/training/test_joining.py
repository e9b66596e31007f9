"""Two processes decide together when a training ends, and compute what one computes on any kind of data."""

from pathlib import Path

import pytest

from codec.training.divergence import ROLLBACK_LR_RATIO
from tests.helpers import process_groups
from tests.helpers.children import running, wait_for_end
from tests.helpers.process_groups import Plan
from tests.helpers.runs import read_metrics
from tests.helpers.shard_servers import http_server
from tests.helpers.shards import prepared_in_shards

pytestmark = pytest.mark.long

STEREO = ("--data.channels=2", "--data.crop_s=0.2", "--data.batch_size=4", "--data.open_shards=2")
SHORT = (
    *STEREO,
    "--train.max_minutes=0",
    "--train.steps=8",
    "--train.validate_every=4",
    "--train.unquantized_share=0.4",
)
LONG = (*STEREO, "--train.max_minutes=0", "--train.steps=100000", "--train.validate_every=3")
NO_MEANS = ("restarted", "lr", "clipped", "usage_q0", "usage_q1", "usage_q2")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders with runs of the same recipes: by one process, ``one``, and by two, ``two``, which has more."""
    folder = tmp_path_factory.mktemp("runs")
    data = prepared_in_shards(folder, channels=2)
    with http_server(data) as (url, _):
        both = [Plan("streamed", url, SHORT), Plan("local", str(data), (*SHORT, "--data.resident=never"))]
        with running(process_groups.train_in_turn, folder / "one", folder / "cache one", both) as process:
            assert wait_for_end(process) == 0
        more = [
            Plan("local", str(data), (*SHORT, "--data.resident=always")),
            Plan("patience", str(data), (*LONG, "--train.patience=2", "--optim.lr=0.05", "--optim.warmup_steps=1")),
            Plan("clock", str(data), (*LONG, "--train.max_minutes=0.03"), "clock"),
            Plan("waveform", str(data), (*LONG, "--train.rollbacks=1"), "waveform"),
        ]
        arguments = folder / "two", folder / "cache two", [both[0], *more]
        assert process_groups.together(2, process_groups.train_in_turn, *arguments) == [0, 0]
    return folder


def said(runs: Path, name: str) -> list[str]:
    return [(runs / "two" / f"{name}-{rank}.txt").read_text() for rank in range(2)]


@pytest.mark.parametrize("name", ["streamed", "local"])
def test_stereo_and_the_phase_without_quantizer_are_those_of_one_process(runs, name):
    one, two = (
        {(row["step"], row["split"], row["term"]): float(row["value"]) for row in read_metrics(runs / folder / name)}
        for folder in ("one", "two")
    )
    assert one.keys() == two.keys() and ("8", "val", "total") in one
    losses = [key for key in one if key[2] not in NO_MEANS]
    assert max(abs(two[key] - one[key]) / max(abs(one[key]), 1e-3) for key in losses) < 1e-5
    assert said(runs, name) == ["8 all steps done"] * 2


def test_early_stopping_is_decided_together(runs):
    first, second = said(runs, "patience")
    assert first == second and "early stopping" in first and int(first.split()[0]) < 1000


def test_the_clock_of_the_first_process_decides(runs):
    first, second = said(runs, "clock")
    assert first == second and "the clock" in first


def test_a_divergence_in_one_process_rolls_all_back_and_ends_all(runs):
    first, second = said(runs, "waveform")
    assert first == second and "10 steps in a row" in first
    rates = [float(row["value"]) for row in read_metrics(runs / "two/waveform") if row["term"] == "lr"]
    assert rates[-1] == pytest.approx(ROLLBACK_LR_RATIO * max(rates))
