"""The identity of a codec at an operating point, which results, tables and plots have in common."""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["model", "conventional", "external", "original", "unknown"]

BOUND = "bound"
"""In place of the operating point of a system that is a bound, see :mod:`eval.systems.bounds`."""


@dataclass(frozen=True)
class System:
    """A codec at one operating point."""

    name: str
    """Name of the codec, such as the folder of a run, or "Opus"."""
    point: str
    """Operating point in reports, such as "3 kbps" or "12 codebooks"."""
    kind: Kind = field(default="unknown", compare=False)
    """A model of this project; a conventional codec; audio decoded outside this evaluation; the audio before coding;
    or, in tables without this record, unknown."""

    @property
    def is_bound(self) -> bool:
        """True if it is a bound, which has no bit rate."""
        return self.point == BOUND

    def label(self, main: str) -> str:
        """Return the heading of the system's row in a report.

        Args:
            main: name of the model that the report is about.

        Returns:
            The operating point alone for that model, else the name with the operating point, if there are several.
        """
        if self.kind == "conventional":
            return f"{self.name} {self.point.removesuffix(' kbps')}"
        if self.is_bound or self.kind in ("external", "original"):
            return self.name
        return self.point if self.name == main else f"{self.name}, {self.point}"
