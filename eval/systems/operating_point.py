"""The operating point at which a model codes: a bit rate or a number of codebooks."""

from dataclasses import dataclass

from codec.coding.bit_rate import check_options
from codec.coding.options import CodingOptions
from codec.model.codec import Codec
from codec.pretrained.loaded_model import LoadedModel


@dataclass(frozen=True)
class OperatingPoint:
    """The setting of a model: a bit rate, a number of codebooks, or (neither) all codebooks.

    >>> str(OperatingPoint(kbps=3.0)), str(OperatingPoint(codebooks=12)), str(OperatingPoint())
    ('3 kbps', '12 codebooks', 'all codebooks')
    """

    kbps: float | None = None
    """Bit rate in kbit/s over all channels."""
    codebooks: int | None = None

    def __str__(self) -> str:
        if self.kbps is not None:
            return f"{self.kbps:g} kbps"
        return "all codebooks" if self.codebooks is None else f"{self.codebooks} codebooks"

    @property
    def options(self) -> CodingOptions:
        """Options of encoding at this operating point."""
        return CodingOptions(self.kbps, self.codebooks)

    def check(self, codec: Codec) -> None:
        """Check that a model has this operating point.

        Args:
            codec: the model.

        Raises:
            UserError: the model does not have it.
        """
        check_options(LoadedModel(codec), self.options)
