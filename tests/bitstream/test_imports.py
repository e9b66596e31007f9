"""The format, and streams over a backend, need no PyTorch."""

import subprocess
import sys
from pathlib import Path

import codec.bitstream

HEAVY = ("torch", "scipy", "librosa", "lightning", "matplotlib")
MODULES = (
    *(f"codec.bitstream.{path.stem}" for path in sorted(Path(codec.bitstream.__path__[0]).glob("[a-z]*.py"))),
    "codec.model.backend",
    "codec.model.dynamic_batching",
    "codec.model.streaming",
    "codec.pretrained.onnx_backend",
)


def test_imports_are_light():
    code = f"import sys, {', '.join(MODULES)}; print(*(name for name in {HEAVY} if name in sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
