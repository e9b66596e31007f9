"""Speed of the programs of ``codec page``.

``python -m eval.benchmarks.browser_speed PAGE FILE.nac…`` runs its programs on one thread in Node, whose engine is that
of Chromium, and prints processor time, which other work on the machine does not lengthen much.
"""

import argparse
import json
import shutil
import subprocess
from pathlib import Path

from codec.errors import UserError


def measure(page: Path, files: list[Path]) -> dict[str, float]:
    """Time the programs of a page.

    Args:
        page: folder written by ``codec page``
        files: ``.nac`` files of one channel and one of the page's models

    Returns:
        Seconds of processor time: ``startDecoder`` and ``startEncoder`` until the networks are ready, ``opening`` (the
        range decoder), ``decoding`` and ``encoding`` (the networks) of all files; ``seconds`` of sound.

    Raises:
        UserError: Node.js is not installed, or the page or a file cannot be read.
    """
    node = shutil.which("node")
    if node is None:
        raise UserError("Node.js is not installed")
    words = [node, str(Path(__file__).with_suffix(".mjs")), str(page.resolve()), *map(str, files)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise UserError(next((line for line in done.stderr.splitlines() if "Error" in line), "Node.js failed"))
    return dict(json.loads(done.stdout))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    arguments = parser.parse_args()
    told = measure(arguments.page, arguments.files)
    print(f"{told['seconds']:.0f} s of sound, one thread of WebAssembly, processor time")
    print(f"networks ready: decoder {told['startDecoder']:.1f} s, encoder {told['startEncoder']:.1f} s")
    for name in ("opening", "decoding", "encoding"):
        print(f"{name}: {told['seconds'] / told[name]:.0f} x real time")


if __name__ == "__main__":
    main()
