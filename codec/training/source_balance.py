"""Balance of the sources of the training data: how often the clips of each are drawn.

A source with the share p of the frames of the split gets the share q of the crops:

    q ∝ w · p^(1/T)

with a weight ``w`` of its own (``data.source_weights``) and the temperature ``T`` (``data.source_temperature``). At
T = 1 every second of audio is drawn equally often; the higher T, the more equal the sources become. Within a source,
clips are drawn in proportion to their length.

Source: N. Arivazhagan et al., "Massively multilingual neural machine translation in the wild", 2019, where T = 5. With
the exponent α = 1/T it is the sampling of A. Conneau and G. Lample, "Cross-lingual language model pretraining", NeurIPS
2019 (α = 0.5), and of mT5 (L. Xue et al., NAACL 2021; α = 0.3).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from codec.config import DataConfig
from codec.dataset.clips import ClipTable
from codec.dataset.packed_split import SourceSummary
from codec.errors import UserError


def clip_weights(clips: ClipTable, sources: Sequence[SourceSummary], config: DataConfig) -> npt.NDArray[np.int64]:
    """Compute the weights with which clips are drawn.

    Args:
        clips: the clips of the training split
        sources: the sources of the same split
        config: temperature and weights

    Returns:
        ``[clips]``: whole numbers, so that draws are the same on every machine; the lengths of the clips in frames if
        every second of audio is drawn equally often.

    Raises:
        UserError: the data does not name its sources, a weight names none of them, or none has a weight above 0.

    >>> from pathlib import Path
    >>> from codec.dataset.clips import Clip, ClipLocation
    >>> sources = [SourceSummary("a", 900, [], []), SourceSummary("b", 100, [], [])]
    >>> clips = [Clip("", Path(), "", "", 0, 0, 0, 0, source.frames, source.source) for source in sources]
    >>> table = ClipTable((clip, ClipLocation("", 0)) for clip in clips)
    >>> clip_weights(table, sources, DataConfig(source_temperature=2.0)).tolist()  # 3 to 1, the root of 9 to 1
    [949, 316]
    """
    factors = _factors(sources, config)
    # The smallest factor is 1 or more, so that rounding changes no weight by more than half a frame's.
    scale = 1 / min(1.0, *(factor for factor in factors.values() if factor))
    names, source = clips.words("source")
    per_frame = np.array([scale * factors[name] for name in names])
    return np.rint(per_frame[source] * clips.numbers("frames")).astype(np.int64)


def _factors(sources: Sequence[SourceSummary], config: DataConfig) -> dict[str, float]:
    """Return how much more often than at temperature 1 a frame of each source is drawn, without a common factor."""
    names = [source.source for source in sources]
    if (config.source_temperature != 1 or config.source_weights) and names == [""]:
        raise UserError(
            "the training data does not name its sources, which data.source_temperature and data.source_weights need;"
            " run codec prepare again with the same --out: it adds them, and measures no file again"
        )
    for name in config.source_weights.keys() - set(names):
        raise UserError(
            f"data.source_weights has {name!r}, but the sources of the training data are {', '.join(names)}"
        )
    total = sum(source.frames for source in sources)
    exponent = 1 / config.source_temperature - 1
    factors = {
        source.source: config.source_weights.get(source.source, 1.0) * (source.frames / total) ** exponent
        for source in sources
    }
    if not any(factors.values()):
        raise UserError("data.source_weights are 0 for all sources of the training data")
    return factors
