"""Lathe: train, evaluate and use neural audio codecs. The Python interface is :mod:`codec.api`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codec.api import AudioCodec, Encoded, Latents, from_pretrained, load, open
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
    "from_pretrained",
    "load",
    "open",
]


def __getattr__(name: str) -> Any:
    """Import PyTorch when a name is first used, so that ``codec --help`` answers at once (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from codec import api

    found = getattr(api, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
