"""The clips of an evaluation taken together: means with their intervals, bit rates, and what could not be judged."""

from collections.abc import Iterable, Sequence

from eval.evaluation.results import ClipResult, Row
from eval.metrics.bootstrap import Estimate, estimate
from eval.metrics.registry import METRICS, Score


def build_rows(clips: Sequence[ClipResult]) -> list[Row]:
    """In distribution, out of distribution, and each domain if there are several; rows without clips are left
    out.
    """
    inside = [clip for clip in clips if clip.in_distribution]
    outside = [clip for clip in clips if not clip.in_distribution]
    domains = sorted({clip.domain for clip in clips})
    rows = [_row(name, some) for name, some in (("in distribution", inside), ("out of distribution", outside)) if some]
    if len(domains) > 1:
        rows += [_row(name or "unstated", [clip for clip in clips if clip.domain == name]) for name in domains]
    return rows


def _row(name: str, clips: Sequence[ClipResult]) -> Row:
    failed: dict[str, dict[str, int]] = {}
    undefined: dict[str, dict[str, int]] = {}
    for clip in clips:
        for key, score in clip.scores.items():
            if score.failed or score.undefined:
                reasons = (failed if score.failed else undefined).setdefault(key, {})
                reasons[score.reason] = reasons.get(score.reason, 0) + 1
    return Row(
        name=name,
        clips=len(clips),
        groups=len({clip.group for clip in clips}),
        seconds=sum(clip.seconds for clip in clips),
        kbps=real_kbps(clips),
        container_kbps=_kbps(clips, [clip.container_bytes for clip in clips]),
        metrics=_estimates([(clip.scores, clip.group) for clip in clips]),
        baseline=_estimates([(clip.baseline, clip.group) for clip in clips]),
        failed=failed,
        undefined=undefined,
    )


def real_kbps(clips: Sequence[ClipResult]) -> float | None:
    """Bits of all clips over seconds of all clips; None where those of a clip are not known."""
    return _kbps(clips, [clip.bytes for clip in clips])


def _kbps(clips: Sequence[ClipResult], sizes: Sequence[int | None]) -> float | None:
    known = [size for size in sizes if size is not None]
    return 8 * sum(known) / sum(clip.seconds for clip in clips) / 1000 if len(known) == len(sizes) > 0 else None


def _estimates(scores: Sequence[tuple[dict[str, Score], str]]) -> dict[str, Estimate]:
    found = {}
    for entry in METRICS:
        result = estimate_scores((values.get(entry.name), group) for values, group in scores)
        if result:
            found[entry.name] = result
    return found


def estimate_scores(scores: Iterable[tuple[Score | None, str]]) -> Estimate | None:
    """Mean and interval of the scores that are defined; each comes with its clip's group."""
    judged = [(score.value, group) for score, group in scores if score and score.value is not None]
    return estimate([value for value, _ in judged], [group for _, group in judged])
