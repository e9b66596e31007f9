"""Lathe: neural audio codecs, trained, tested and used. What is for use from Python stands in codec/api.py."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codec.api import AudioCodec, Encoded, Latents, load, open
    from codec.coding.nac_reader import NacReader
    from codec.coding.pipeline import StreamingDecoder, StreamingEncoder
    from codec.errors import UserError

__all__ = [
    "AudioCodec",
    "Encoded",
    "Latents",
    "NacReader",
    "StreamingDecoder",
    "StreamingEncoder",
    "UserError",
    "load",
    "open",
]


def __getattr__(name: str) -> Any:
    """Imports PyTorch when something is used, not before: ``codec --help`` answers at once (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from codec import api

    found = getattr(api, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
