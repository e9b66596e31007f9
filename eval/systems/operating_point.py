"""The operating point at which a model codes: a bit rate or a number of codebooks, and how its decoder computes."""

import copy
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
    dtype: str = "float32"
    """Data type of the decoder, one of :data:`codec.model.decoder_dtypes.DTYPES`."""

    def __str__(self) -> str:
        if self.kbps is not None:
            return f"{self.kbps:g} kbps"
        return "all codebooks" if self.codebooks is None else f"{self.codebooks} codebooks"

    def name(self, model: str) -> str:
        """Return the name of a model that codes at this operating point.

        Args:
            model: name of the model.

        Returns:
            The name; with the data type of the decoder if it is not float32.

        >>> OperatingPoint(dtype="int8").name("speech_16k_v2")
        'speech_16k_v2, int8'
        """
        return model if self.dtype == "float32" else f"{model}, {self.dtype}"

    def model(self, codec: Codec) -> LoadedModel:
        """Return a model as it codes at this operating point.

        Args:
            codec: the model, which stays as it is.

        Returns:
            The model, a copy if its decoder computes in another type.
        """
        if self.dtype == "float32":
            return LoadedModel(codec)
        model = LoadedModel(copy.deepcopy(codec))
        model.set_decoder_dtype(self.dtype)
        return model

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
