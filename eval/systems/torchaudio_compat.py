"""The one import of torchaudio: everything else takes it from here.

The torchaudio wheel of the package index is a CUDA build: with a CPU-only torch, its native extension cannot be
loaded, and the whole import fails with ``OSError``. We need only its Python layer (mel filter banks, data set
classes), which never calls that extension, and torchaudio itself goes on without the extension where its file is
absent. So when the first import fails, the second one is made not to find that file.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

try:
    import torchaudio
except OSError:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
        del sys.modules[name]
    every_file = Path.glob

    def all_but_extension(folder: Path, pattern: str, **options: bool) -> Iterator[Path]:
        return iter(()) if pattern.startswith("_torchaudio") else every_file(folder, pattern, **options)

    with mock.patch.object(Path, "glob", all_but_extension):
        import torchaudio

__all__ = ["torchaudio"]
