"""Searches in these tests are quick."""

from collections.abc import Iterator

import pytest

from tests.helpers.plans import make_searches_quick


@pytest.fixture(autouse=True, scope="module")
def quick_searches() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        make_searches_quick(patch)
        yield
