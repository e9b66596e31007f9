"""Progress bars on a terminal, and dated lines where standard error is a file or pipe."""

import io
import sys
import time
from typing import Any

from tqdm import tqdm

from codec.runtime.messages import dated, is_quiet

LOG_INTERVAL_S = 30.0
"""Longest time between two lines of a log, as long as there is progress."""
LOG_SHARE = 0.1
"""Share of the work after which a line is due earlier."""
LOG_SHORTEST_S = 5.0
"""Shortest time between two lines of a log, however fast the work is; the last line comes at once."""

_COUNTED = "{desc}: {percentage:.0f}% {n_fmt}/{total_fmt} {unit} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
_UNCOUNTED = "{desc}: {n_fmt} {unit} [{elapsed}, {rate_fmt}{postfix}]"


class ProgressBar(tqdm):  # type: ignore[type-arg]
    """A bar of ``tqdm``, for people who watch. In a log it is a line with the date every 30 s or 10 % of the work, and
    one at the end. A quiet process shows neither.

    Args:
        *arguments: those of ``tqdm``
        **options: those of ``tqdm``
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._log = None if sys.stderr.isatty() else sys.stderr
        self._logged_s, self._logged_n, self._ends = time.monotonic(), 0.0, False
        if self._log is not None:
            options["file"] = io.StringIO()  # what only terminals understand
        super().__init__(*arguments, **{**options, "disable": options.get("disable") or is_quiet()})
        self._logged_n = 0.0 if self.disable else self.n

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Show the state: redraw the bar, or write a line to the log if one is due.

        Args:
            msg: text instead of the state; ignored in a log
            pos: line of the bar on the terminal
        """
        if self._log is None:
            super().display(msg, pos)
            return
        if msg is not None or not (self._ends or self._is_due()):
            return
        layout = (self.bar_format or (_COUNTED if self.total else _UNCOUNTED)).replace("|{bar}|", "")
        name = self.desc.removesuffix(": ")
        line = self.format_meter(**{**self.format_dict, "prefix": name, "bar_format": layout, "ncols": None})
        print(dated(line.lstrip(": ")), file=self._log, flush=True)
        self._logged_s, self._logged_n = time.monotonic(), self.n

    def close(self) -> None:
        """End the bar; a log gets its last line, unless the bar was to vanish."""
        self._ends = True
        super().close()

    def _is_due(self) -> bool:
        waited, done = time.monotonic() - self._logged_s, self.n - self._logged_n
        if done <= 0 or waited < LOG_SHORTEST_S:
            return False
        return waited >= LOG_INTERVAL_S or bool(self.total and done >= LOG_SHARE * self.total)
