"""Splits of made clips: what :mod:`data_prep.split` does with rows of the manifest, in plain dictionaries."""

from collections.abc import Iterable
from dataclasses import dataclass

from data_prep.rows import ManifestRow, RowTable
from data_prep.split import KnownSplits, assign_splits
from data_prep.split_ratios import SplitRatios
from data_prep.store import Store


@dataclass(frozen=True)
class MadeClip:
    """A clip that can be used."""

    path: str
    group: str
    domain: str
    seconds: float
    sha256: str
    split: str = ""
    """Split that an earlier run has assigned."""


@dataclass(frozen=True)
class MadeSplits:
    """What became of them."""

    splits: dict[str, str]
    """Split of every group, including those of earlier runs."""
    rejected: dict[str, str]
    """Reasons for clips that are not used, by path."""
    filled: tuple[str, ...]
    advice: tuple[str, ...]


def split_clips(
    clips: Iterable[MadeClip], ratios: SplitRatios, seed: int = 0, known: Iterable[MadeClip] = ()
) -> MadeSplits:
    """Assign clips to splits, after an earlier run that has assigned ``known``."""
    store = Store()
    rows, earlier = RowTable(store, "rows"), RowTable(store, "earlier")
    rows.add(map(_row, clips))
    earlier.add(map(_row, known))
    KnownSplits(earlier)
    result = assign_splits(rows, ratios, seed=seed)
    splits: dict[str, str] = dict(store.query("SELECT name, split FROM splits"))  # type: ignore[arg-type]
    assert all(row.split == splits.get(row.group, "") for row in rows)
    return MadeSplits(splits, {row.path: row.reason for row in rows if not row.used}, result.filled, result.advice)


def _row(clip: MadeClip) -> ManifestRow:
    return ManifestRow(
        clip.path, "made", clip.domain, clip.group, clip.split, "ok", "", clip.seconds, 16000, 1, "WAV", -1.0, -20.0,
        -60.0, 8000.0, clip.sha256,
    )  # fmt: skip
