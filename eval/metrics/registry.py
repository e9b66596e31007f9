"""All metrics, in the order in which tables have them.

To add a metric: write a function of a reference, decoded audio and a sample rate in a file of its own, like
:mod:`eval.metrics.waveform`, describe it there as a :class:`~eval.metrics.metric.Metric`, and list that below. Every
table, plot and report has it from then on; docs/metrics.md should have its definition.
"""

from collections.abc import Collection

from eval.metrics.metric import Metric, Score, is_speech
from eval.metrics.speaker_similarity import SPEAKER_SIMILARITY
from eval.metrics.spectral import BANDWIDTH, LOUDNESS, MEL, NOISE_TO_MASK, STFT
from eval.metrics.speech import ESTOI, PESQ, STOI
from eval.metrics.visqol import VISQOL_AUDIO, VISQOL_SPEECH
from eval.metrics.waveform import L1, L2, SI_SDR
from eval.metrics.word_error_rate import WER

__all__ = ["METRICS", "Metric", "Score", "describe_editions", "is_speech", "metric"]

METRICS = (
    MEL, PESQ, ESTOI, STOI, VISQOL_SPEECH, VISQOL_AUDIO, WER, SPEAKER_SIMILARITY, NOISE_TO_MASK, STFT, SI_SDR, LOUDNESS,
    BANDWIDTH, L1, L2,
)  # fmt: skip


def metric(name: str) -> Metric:
    """Return the metric of a name.

    Args:
        name: name such as ``pesq``.

    Returns:
        The entry of :data:`METRICS`.

    Raises:
        KeyError: there is no such metric.

    >>> metric("pesq").label, metric("pesq").better
    ('PESQ-WB', 'higher')
    """
    return _BY_NAME[name]


def describe_editions(names: Collection[str]) -> list[str]:
    """Name the editions of the standards whose editions differ in value.

    Args:
        names: names of metrics.

    Returns:
        A line for each of the metrics whose value depends on the edition.
    """
    return [f"{entry.label}: {entry.edition}" for entry in METRICS if entry.edition and entry.name in names]


_BY_NAME = {entry.name: entry for entry in METRICS}
