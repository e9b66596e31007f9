"""Peak memory of coding and decoding a file, each length in a process of its own.

``python -m eval.benchmarks.memory MODEL --minutes 10 60 --rate 48000 --channels 2`` makes files of noise and measures.
"""

import argparse
import json
import subprocess
import sys
import tempfile
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
class Coded:
    """A made file, coded with all codes and decoded. ``bytes``: of the ``.nac`` file; ``peak_mb``: resident memory."""

    seconds: float
    bytes: int
    encode_s: float
    decode_s: float
    peak_mb: float


def peak_mb(model: Path, seconds: float, sample_rate: int, channels: int = 1) -> float:
    """Peak resident memory in MB of a process that codes and decodes a made file of this length."""
    return code_made(model, seconds, sample_rate, channels).peak_mb


def code_made(model: Path, seconds: float, sample_rate: int, channels: int = 1) -> Coded:
    """Codes and decodes a made file of this length, in a process of its own with one thread.

    Raises:
        UserError: that process failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.wav"
        generator = np.random.default_rng(0)
        samples = round(seconds * sample_rate)
        with audio.AudioWriter(source, sample_rate, channels, samples=samples) as writer:
            for start in range(0, samples, _BLOCK):
                count = min(_BLOCK, samples - start)
                writer.write(0.1 * generator.standard_normal((channels, count), dtype=np.float32))
        command = [sys.executable, "-c", _CHILD, str(source), str(model)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"the memory measurement failed: {(done.stderr.strip() or 'killed').splitlines()[-1]}")
        return Coded(**json.loads(done.stdout))


def _code(source: str, model: str) -> None:
    """What the process that is measured does."""
    import torch

    from codec.coding.files import decode_file, encode_file
    from codec.pretrained.checkpoint import load_model

    torch.set_num_threads(1)
    codec, path = load_model(Path(model)), Path(source)
    encoded = encode_file(path, path.with_suffix(".nac"), codec)
    decoded = decode_file(encoded.target, path.with_name("decoded.wav"), codec)
    times = encoded.elapsed_seconds, decoded.elapsed_seconds
    print(
        json.dumps(asdict(Coded(encoded.seconds, encoded.bytes_total, *times, (peak_memory_bytes() or 0) / (1 << 20))))
    )


def main() -> None:
    from codec.pretrained.registry import find

    parser = argparse.ArgumentParser(prog="python -m eval.benchmarks.memory", description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a built-in model, or the folder of a run or model")
    parser.add_argument("--minutes", type=float, nargs="+", default=[10.0, 60.0], help="lengths (10 60)")
    parser.add_argument("--rate", type=int, default=16000, help="Hz, of the file (%(default)s)")
    parser.add_argument("--channels", type=int, default=1, help="of the file (%(default)s)")
    arguments = parser.parse_args()
    try:
        for minutes in arguments.minutes:
            peak = peak_mb(find(arguments.model), 60 * minutes, arguments.rate, arguments.channels)
            print(f"{minutes:g} min, {arguments.rate} Hz, {arguments.channels} channels: {peak:.0f} MB", flush=True)
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
