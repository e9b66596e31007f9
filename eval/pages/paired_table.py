"""The table of differences between models that were evaluated on the same clips."""

from eval.evaluation.formatting import format_difference, format_value
from eval.evaluation.paired_evaluations import EvaluatedTogether
from eval.metrics.confidence import MIN_GROUPS, describe_correction
from eval.metrics.registry import metric
from eval.pages.text_table import Table


def paired_table(evaluated: EvaluatedTogether) -> Table:
    """Return the means of the models and their differences from the first one.

    Args:
        evaluated: the evaluations of all models.

    Returns:
        A row for each metric; the note says on which clips, and at which operating points.
    """
    first, *others = evaluated.points
    found = {(one.name, one.metric): one for one in evaluated.differences}
    rows = []
    for name in dict.fromkeys(one.metric for one in evaluated.differences):
        cells = [f"{metric(name).label} {metric(name).arrow}"]
        for other in others:
            one = found.get((other, name))
            if one is None:
                cells += ["–", "–"]
                continue
            mark = {1: " ▲", -1: " ▼", 0: ""}[one.sign]
            cells += [format_value(name, one.mean), format_difference(name, one.difference) + mark]
        rows.append(cells)
    split = "test" if evaluated.split == "test" else "validation"
    count = sum(one.difference.p is not None for one in evaluated.differences)
    points = "; ".join(f"{name}: {point}" for name, point in evaluated.points.items())
    note = (
        f"On {evaluated.clips} clips of {evaluated.groups} groups of the {split} split that all were evaluated on"
        f" ({points}). Differences are to {first}, paired by clip, with 95 % t intervals over groups (fewer than"
        f" {MIN_GROUPS} groups have none); ▲ better, ▼ worse: {describe_correction(count)}."
    )
    head = ["metric", *(cell for other in others for cell in (other, f"{other} less {first}"))]
    return Table("Quality", note, head, rows)
