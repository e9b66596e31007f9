"""Reports in these tests are quick."""

from collections.abc import Iterator, Sequence

import pytest

from eval.evaluation.results import RatePoint
from eval.pages.rate_distortion_plot import RateFigure, rate_figures


def figures_of_one_metric(rates: Sequence[RatePoint]) -> list[RateFigure]:
    """Those of all metrics take longer to draw than the rest of a small evaluation; tests/eval/pages has them."""
    return rate_figures([point for point in rates if point.metric == "mel"])


@pytest.fixture(autouse=True, scope="module")
def quick_reports() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eval.pages.evaluation_page.rate_figures", figures_of_one_metric)
        yield
