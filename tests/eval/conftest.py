"""Evaluations in these tests are quick."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def quick(memory_measured_once) -> None:
    pass
