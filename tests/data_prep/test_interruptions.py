"""Preparations that are interrupted anywhere: the next run goes on, and in the end all files are the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from data_prep import journal, manifest, pack, prepare
from data_prep.listing import Listing
from data_prep.split import KnownSplits
from tests.helpers.audio import write_audio
from tests.helpers.disk import contents
from tests.helpers.preparation import RATE, run_prepare, seconds_of_noise, write_groups

POINTS = [
    (Listing, "settle", 1),
    (KnownSplits, "__init__", 1),
    (journal, "_format_line", 3),  # in the middle of the scan
    (journal, "_format_line", 20),  # while the journal is sorted
    (prepare, "assign_splits", 1),
    (manifest, "_write_settings", 1),
    (manifest, "_format_row", 5),  # in the middle of the manifest
    (manifest, "_write_parquet", 1),
    (manifest, "_write_settings", 2),
    (pack, "write_clip", 2),
    (pack, "_write_checksums", 1),
    (pack, "_write_checksums", 2),
    (pack, "_write_packed_json", 1),
    (prepare, "summarise_preparation", 1),
]
"""Where runs are interrupted, in their order: in which call of which function."""


def interrupt(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, call: int) -> None:
    """Interrupt a function in one of its calls."""
    original, calls = getattr(owner, name), iter(range(1, 10_000))

    def interrupted(*arguments: object, **options: object) -> object:
        if next(calls) == call:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    monkeypatch.setattr(owner, name, interrupted)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = write_groups(tmp_path_factory.mktemp("sources") / "audio", groups=12, clips=1)
    (folder / "speaker00/b\udcff.wav").write_bytes(b"no audio, and no UTF-8 in its name")
    write_audio(folder / "speaker01/same.wav", seconds_of_noise(1.0, 0), RATE)
    yield folder


def test_a_run_interrupted_at_every_step_ends_like_one_that_was_not(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_prepare(sources, tmp_path / "whole/data", sample_rate=24000)
    wanted = contents(tmp_path / "whole/data")
    out = tmp_path / "parts/data"
    for owner, name, call in POINTS:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            interrupt(patch, owner, name, call)
            run_prepare(sources, out, sample_rate=24000)
    run_prepare(sources, out, sample_rate=24000)
    found = contents(out)
    found["summary.json"] = found["summary.json"].replace(b"parts/data", b"whole/data")
    assert found == wanted
    assert not list(out.rglob("*.part"))
