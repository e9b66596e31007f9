"""What the tests share: one thread, so that results do not depend on the machine, and a small corpus, prepared once;
and their order."""

import functools
import gc
import os
import signal
import sys
from collections.abc import Iterator

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported, see codec/cli/__init__.py
os.environ.setdefault("OMP_NUM_THREADS", "1")  # in the processes that tests start, too
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # those would compile all modules anew, each of them

from pathlib import Path

import pytest
import torch

from codec.model.codec import Codec
from codec.pretrained.checkpoint import load_codec
from codec.pretrained.export import GraphOptions, export_model
from codec.runtime import signals
from codec.runtime.file_lock import Lock
from data_prep.options import PrepareOptions
from data_prep.prepare import prepare
from data_prep.synthetic_corpus import synthesise_corpus
from tests.helpers.tiny import tiny_model

sys.dont_write_bytecode = False  # nor shall each of these processes compile all tests
torch.set_num_threads(1)

HERE = Path(__file__).parent
LONGEST_FIRST = (
    *("training/test_processes.py", "batch/test_processes.py", "pretrained/test_onnx_backend.py"),
    *("training/test_resume.py", "eval/evaluation/test_evaluate.py", "eval/pages/test_browser.py", "test_wheel.py"),
    *("test_pins_names.py", "training", "eval", "batch", "distributed", "cli", "bitstream", "coding", "runtime"),
)
"""Files whose tests take longest, and folders of such files: the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that processes that are dealt whole files end at about the same time."""

    @functools.cache
    def place(path: Path) -> int:
        within = (number for number, name in enumerate(LONGEST_FIRST) if path.is_relative_to(HERE / name))
        return next(within, len(LONGEST_FIRST))

    items.sort(key=lambda item: place(item.path))


def pytest_collection_finish() -> None:
    """Keep what has been imported and collected out of the search for garbage, which would visit it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C and the like reach this process and those that it starts, also in the background and under ``nohup``,
    where they are ignored."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in signals.SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a :func:`tiny_model`. Do not write to it."""
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def exported_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model with all graphs, exported once for all processes of the tests. Do not write to it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exported_model"
    with Lock(folder.with_suffix(".lock")).held():
        if not folder.exists():
            made = tmp_path_factory.mktemp("exported")
            tiny_model(made / "model", "--codec.quantizer.frame_weights=learned")
            export_model(made / "model", made / "out", GraphOptions(dtypes=("float16", "int8"), single_frames=True))
            (made / "out").rename(folder)
    return folder


@pytest.fixture(scope="session")
def codec(model: Path) -> Codec:
    """That model. Do not change it."""
    return load_codec(model)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of about two minutes of synthetic sound in many groups. Do not write to it."""
    return synthesise_corpus(tmp_path_factory.mktemp("corpus"), minutes=2.0)


@pytest.fixture(scope="session")
def prepared(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That corpus as training data at 16 kHz, mono. Only ``candidates.jsonl`` and the ledger may grow."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare([corpus], folder, PrepareOptions(sample_rate=16000, workers=1))
    return folder


@pytest.fixture(scope="session")
def measured_mb() -> list[float]:
    """What :func:`memory_measured_once` has measured."""
    return []


@pytest.fixture(scope="module")
def memory_measured_once(measured_mb: list[float]) -> Iterator[None]:
    """The memory of coding is measured in the first evaluation alone: the process for it takes longer than the rest."""
    from eval.benchmarks.memory import coding_peak_mb

    def measure(*given: object) -> float:
        if not measured_mb:
            measured_mb.append(coding_peak_mb(*given))  # type: ignore[arg-type]
        return measured_mb[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eval.evaluation.summary.coding_peak_mb", measure)
        yield
