"""Lathe: train, evaluate and use neural audio codecs. In Python: :mod:`codec.api`, and :mod:`codec.audio` for files."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codec import audio
    from codec.api import from_pretrained, load, open
    from codec.audio_codec import AudioCodec
    from codec.coding.nac_reader import NacReader
    from codec.encoded import Encoded, Latents
    from codec.errors import UserError
    from codec.streams import StreamingDecoder, StreamingEncoder

_MODULES = {
    "api": ("from_pretrained", "load", "open"),
    "audio_codec": ("AudioCodec",),
    "coding.nac_reader": ("NacReader",),
    "encoded": ("Encoded", "Latents"),
    "errors": ("UserError",),
    "streams": ("StreamingDecoder", "StreamingEncoder"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "AudioCodec",
    "Encoded",
    "Latents",
    "NacReader",
    "StreamingDecoder",
    "StreamingEncoder",
    "UserError",
    "audio",
    "from_pretrained",
    "load",
    "open",
]


def __getattr__(name: str) -> Any:
    """Import PyTorch when a name is first used, so that ``codec --help`` answers at once (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "audio":
        return importlib.import_module("codec.audio")
    found = getattr(importlib.import_module(f"codec.{_MODULE_OF[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
