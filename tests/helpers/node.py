"""The JavaScript of ``codec page`` in Node."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from eval.pages.web_runtime import WASM_FILES, find_runtime

ROOT = Path(__file__).parents[2]


def web_runtime() -> Path:
    """The folder of onnxruntime-web in the user's cache; the test is skipped where npm cannot bring it."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    return find_runtime()[0].parent


def run_jobs(model: Path, jobs: Sequence[dict[str, Any]], runtime: Path | None = None) -> list[dict[str, Any]]:
    """Run jobs of ``javascript/nac.mjs`` with the constants and tables, and maybe graphs, of a model."""
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    script, decoder = Path(__file__).parent / "javascript/nac.mjs", ROOT / "eval/pages/browser/nac"
    done = subprocess.run(
        ["node", str(script), str(decoder), str(model), str(runtime or WASM_FILES[0])],
        input="".join(json.dumps(job, default=str) + "\n" for job in jobs),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def decode_with_graph(graph: Path, codebooks: int, codes: Sequence[Path]) -> None:
    """Decode files of codes with ``javascript/decoder_graph.mjs``, which writes the samples beside them."""
    script, runtime = Path(__file__).parent / "javascript/decoder_graph.mjs", web_runtime()
    subprocess.run(["node", script, runtime, graph, str(codebooks), *codes], check=True)
