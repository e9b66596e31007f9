"""Lathe: neural audio codecs, trained, tested and used."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from codec.model.codec import Codec
    from codec.reading import SoundReader


def open(path: "str | Path", model: "Codec | str | Path | None" = None, *, strict: bool = False) -> "SoundReader":
    """A ``.nac`` file as sound that can be read from any moment on; close it, or use it in a ``with``.

    Args:
        model: a codec, or the name or folder of one. Default: the built-in one that the file names.
        strict: refuse damage, which is concealed otherwise.

    Raises:
        UserError: not a .nac file, or its model is not at hand.
    """
    from pathlib import Path

    from codec.bitstream.container import read_header
    from codec.checkpoint import load_model
    from codec.library import find, finder
    from codec.reading import SoundReader, model_for

    path = Path(path)
    if isinstance(model, str | Path):
        model = load_model(find(str(model)))
    found = model_for(model or finder(), read_header(path, whole=False).fingerprint, path)
    return SoundReader(path, found, strict=strict)
