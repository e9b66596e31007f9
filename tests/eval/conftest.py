"""Evaluations in these tests are quick."""

from collections.abc import Iterator

import pytest

from eval.benchmarks.memory import coding_peak_mb


@pytest.fixture(scope="session")
def measured_mb() -> list[float]:
    """What :func:`memory_measured_once` has measured."""
    return []


@pytest.fixture(autouse=True, scope="module")
def memory_measured_once(measured_mb) -> Iterator[None]:
    """The memory of coding is measured in the first evaluation alone: the process for it takes longer than the rest."""

    def measure(*given: object) -> float:
        if not measured_mb:
            measured_mb.append(coding_peak_mb(*given))  # type: ignore[arg-type]
        return measured_mb[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eval.evaluation.summary.coding_peak_mb", measure)
        yield
