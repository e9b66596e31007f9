"""Peak memory of encoding and decoding a file, measured in a process of its own for each length.

``python -m eval.benchmarks.memory MODEL --minutes 10 60 --rate 48000 --channels 2`` prints it for files of noise.
``--device onnx`` measures a process without PyTorch; graphs are exported first, unless the model has them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from codec import audio
from codec.errors import UserError
from codec.runtime.peak_memory import peak_memory_bytes

_BLOCK = 1 << 20
_CHILD = """
import sys
from codec.runtime import own_packages
own_packages.put_first()
from eval.benchmarks.memory import _code
_code(*sys.argv[1:])
"""


@dataclass(frozen=True)
class CodingRun:
    """Measurements of one process that encoded and decoded one synthetic file with all codebooks."""

    seconds: float
    """Duration of the audio."""
    bytes: int
    """Size of the ``.nac`` file."""
    encode_s: float
    decode_s: float
    peak_mb: float
    """Peak resident memory in MiB, Python and PyTorch included; 0 if the system does not report it."""
    imported_mb: float
    """Peak resident memory in MiB after the imports, before the model is loaded."""


def coding_peak_mb(model: Path, seconds: float, sample_rate: int, channels: int = 1) -> float:
    """Measure the peak memory of a process that encodes and decodes a file of noise.

    Args:
        model: folder of a model or run.
        seconds: duration of the file.
        sample_rate: sample rate of the file, in Hz.
        channels: number of channels of the file.

    Returns:
        Peak resident memory in MiB.

    Raises:
        UserError: the process failed.
    """
    return code_noise(model, seconds, sample_rate, channels).peak_mb


def code_noise(model: Path, seconds: float, sample_rate: int, channels: int = 1, device: str = "cpu") -> CodingRun:
    """Encode and decode a file of noise, in a process of its own with one thread.

    Args:
        model: folder of a model or run.
        seconds: duration of the file.
        sample_rate: sample rate of the file, in Hz.
        channels: number of channels of the file.
        device: ``"cpu"``, or ``"onnx"`` if the model has graphs.

    Returns:
        Times, size and peak memory.

    Raises:
        UserError: the process failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.wav"
        generator = np.random.default_rng(0)
        samples = round(seconds * sample_rate)
        with audio.AudioWriter(source, sample_rate, channels, samples=samples) as writer:
            for start in range(0, samples, _BLOCK):
                count = min(_BLOCK, samples - start)
                writer.write(0.1 * generator.standard_normal((channels, count), dtype=np.float32))
        command = [sys.executable, "-c", _CHILD, str(source), str(model), device]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"the memory measurement failed: {(done.stderr.strip() or 'killed').splitlines()[-1]}")
        return CodingRun(**json.loads(done.stdout))


def _code(source: str, model: str, device: str) -> None:
    """Do the work of the measured process, and print a :class:`CodingRun` as JSON."""
    from codec.coding.files import decode_file, encode_file
    from codec.pretrained.registry import ONNX, load_model

    if device == ONNX:
        import onnxruntime  # noqa: F401

        one_thread: AbstractContextManager[None] = nullcontext()
    else:
        from codec.model import codec  # noqa: F401
        from codec.runtime.torch_threads import torch_threads

        one_thread = torch_threads(1)
    imported = _peak_mb()
    with one_thread:
        loaded, path = load_model(model, device), Path(source)
        encoded = encode_file(path, path.with_suffix(".nac"), loaded)
        decoded = decode_file(encoded.target, path.with_name("decoded.wav"), loaded)
    times = encoded.elapsed_seconds, decoded.elapsed_seconds
    print(json.dumps(asdict(CodingRun(encoded.seconds, encoded.bytes_total, *times, _peak_mb(), imported))))


def _peak_mb() -> float:
    return (peak_memory_bytes() or 0) / (1 << 20)


def _with_graphs(place: Path, folder: Path) -> Path:
    """Return a model that has graphs: itself, or an export of it in ``folder``."""
    from codec.pretrained.export import GraphOptions, export_model
    from codec.pretrained.model_folder import model_folder, read_graphs

    if read_graphs(model_folder(place)).digests:
        return place
    export_model(place, folder, GraphOptions())
    return folder


def _main() -> None:
    from codec.pretrained.registry import find_model

    parser = argparse.ArgumentParser(
        prog="python -m eval.benchmarks.memory",
        description="Print the peak memory of encoding and decoding files of noise. Each file is coded by a process of"
        " its own, on one thread.",
    )
    parser.add_argument("model", help="name of a built-in model, or folder of a run or model")
    parser.add_argument(
        "--minutes", type=float, nargs="+", default=[10.0, 60.0], help="durations of the files (default: 10 60)"
    )
    parser.add_argument("--rate", type=int, default=16000, help="sample rate of the files in Hz (default: %(default)s)")
    parser.add_argument("--channels", type=int, default=1, help="channels of the files (default: %(default)s)")
    parser.add_argument("--device", choices=["cpu", "onnx"], default="cpu", help="(default: %(default)s)")
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            model = find_model(arguments.model)
            if arguments.device == "onnx":
                model = _with_graphs(model, Path(folder) / "model")
            for minutes in arguments.minutes:
                found = code_noise(model, 60 * minutes, arguments.rate, arguments.channels, arguments.device)
                print(
                    f"{minutes:g} min, {arguments.rate} Hz, {arguments.channels} channels: {found.peak_mb:.0f} MB,"
                    f" {found.peak_mb - found.imported_mb:.0f} MB above the imports",
                    flush=True,
                )
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    _main()
