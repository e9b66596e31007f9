"""Formatting of numbers and reasons for the screen, tables and pages."""

from collections.abc import Mapping

from eval.evaluation.clip_selection import TRANSCRIBED_CLIPS
from eval.evaluation.results import Row
from eval.metrics.confidence import Estimate
from eval.metrics.registry import metric


def format_kbps(kbps: float | None) -> str:
    """Format a bit rate.

    Args:
        kbps: bit rate in kbit/s; None if it is unknown.

    Returns:
        A text such as "2.95 kbps".
    """
    return "bit rate unknown" if kbps is None else f"{kbps:.2f} kbps"


def format_value(name: str, value: float) -> str:
    """Format a value of a metric with its number of decimals.

    Args:
        name: name of the metric.
        value: the value.

    Returns:
        The number without its unit.

    >>> format_value("pesq", 3.21987)
    '3.22'
    """
    return f"{value:.{metric(name).digits}f}"


def format_estimate(name: str, found: Estimate) -> str:
    """Format a mean with its interval, if it has one.

    Args:
        name: name of the metric.
        found: the estimate.

    Returns:
        A text such as "3.22 [3.01, 3.43]".
    """
    mean = format_value(name, found.mean)
    if found.low is None or found.high is None:
        return mean
    return f"{mean} [{format_value(name, found.low)}, {format_value(name, found.high)}]"


def format_difference(name: str, found: Estimate) -> str:
    """Format a mean difference like :func:`format_estimate`, always with its sign.

    Args:
        name: name of the metric.
        found: the estimate.

    Returns:
        A text such as "+0.22 [0.01, 0.43]".
    """
    plus = "" if format_value(name, found.mean).startswith("-") else "+"
    return plus + format_estimate(name, found)


def describe_samples(row: Row) -> list[str]:
    """Describe the metrics that are measured on some clips only, because they need a text.

    Args:
        row: some clips.

    Returns:
        A line for each of these metrics.
    """
    return [
        f"{metric(name).label}: {metric(name).about}; on {found.clips} of {row.clips} clips, those with a text and at"
        f" most {TRANSCRIBED_CLIPS} of each group"
        for name, found in row.metrics.items()
        if metric(name).weigh_text is not None
    ]


def describe_missing(row: Row) -> list[str]:
    """Describe the clips that failed, and the clips that were left out because of their references.

    Args:
        row: some clips.

    Returns:
        A line for each reason.
    """
    return describe_failed(row) + _describe(row.undefined, "left out for every codec, because it cannot be judged")


def describe_failed(row: Row) -> list[str]:
    """Describe the clips that failed, and so scored the worst value.

    Args:
        row: some clips.

    Returns:
        A line for each reason, with the metrics concerned.
    """
    return _describe(row.failed, "failed, and counted with the worst value")


def _describe(found: Mapping[str, Mapping[str, int]], consequence: str) -> list[str]:
    """``found``: metric to reason to number of clips."""
    labels: dict[tuple[str, int], list[str]] = {}
    for name, reasons in found.items():
        for reason, count in reasons.items():
            labels.setdefault((reason, count), []).append(metric(name).label)
    return [f"{count} × {reason}: {consequence} ({', '.join(names)})" for (reason, count), names in labels.items()]
