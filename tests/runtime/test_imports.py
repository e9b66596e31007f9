"""The context in which commands import."""

import gc

import pytest

from codec.runtime.imports import importing


@pytest.fixture(autouse=True)
def unfrozen():
    yield
    gc.unfreeze()


def test_garbage_is_collected_again_after_imports_and_what_they_made_is_left_alone():
    collections = gc.get_stats()[0]["collections"]
    with importing():
        made = [[] for _ in range(100_000)]  # without the context, these alone would be looked at a hundred times
        assert not gc.isenabled() and gc.get_stats()[0]["collections"] == collections
    assert gc.isenabled() and gc.get_freeze_count() >= len(made)


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_left_as_it_was_also_after_a_failed_import(enabled):
    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(ModuleNotFoundError), importing():
            import no_such_module  # noqa: F401
        assert gc.isenabled() == enabled
    finally:
        gc.enable()
