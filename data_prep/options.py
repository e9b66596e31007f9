"""Options of a preparation."""

from collections.abc import Sequence
from dataclasses import dataclass

from codec.config import TargetConfig
from codec.runtime.process_pool import Workers
from data_prep.split_ratios import DEFAULT_RATIOS


@dataclass(frozen=True)
class PrepareOptions:
    """Options of :func:`data_prep.prepare.prepare`."""

    sample_rate: int
    """Sample rate of the packed arrays, in Hz."""
    channels: int = 1
    """Channels of the packed arrays; files with another number are mixed down to one channel, which is repeated."""
    ratios: str = DEFAULT_RATIOS
    """Shares of the seconds in training, validation and test. A share of 0 leaves the split empty."""
    group_by: str | None = None
    """Rule for the groups, see :func:`data_prep.groups.group_entries`; None: that of the corpus or list, else by
    folder."""
    plain: bool = False
    """Recognise no corpus, and treat all folders as plain folders."""
    domains: Sequence[str] = ()
    """Use only files of these domains; empty: of all."""
    assigned: Sequence[tuple[str, str]] = ()
    """Domains and the folders whose files have them, below a source or as paths; an empty folder: all files. The last
    one that fits a file holds."""
    seed: int = 0
    """Seed of the order in which groups are assigned to splits."""
    min_seconds: float = 0.5
    """Shorter files are excluded."""
    recipe: str = ""
    """Name of the recipe that the data is for."""
    target: TargetConfig | None = None
    """Target distribution of a recipe; the summary gives the distance of the training split from it."""
    workers: Workers = 2
    """Number of processes, or a cluster."""
