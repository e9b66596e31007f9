"""Peak memory of coding and decoding a file, each length in a process of its own."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from codec import audio
from codec.errors import UserError


def peak_mb(model: Path, seconds: float, sample_rate: int) -> float:
    """Peak resident memory in MB of a process that codes and decodes a made file of this length."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.wav"
        generator = np.random.default_rng(0)
        with audio.Writer(source, sample_rate, 1) as writer:
            for start in range(0, round(seconds * sample_rate), 1 << 20):
                count = min(1 << 20, round(seconds * sample_rate) - start)
                writer.write(0.1 * generator.standard_normal((1, count), dtype=np.float32))
        command = [sys.executable, "-m", "eval.memory", str(source), str(model)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"the memory measurement failed: {(done.stderr.strip() or 'killed').splitlines()[-1]}")
        return float(json.loads(done.stdout)["peak_mb"])


def _own_peak_mb() -> float:
    """Linux: of this program alone. ``ru_maxrss`` would also count the process that started it."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _main(source: Path, model: Path) -> None:
    import torch

    from codec.checkpoint import load_model
    from codec.files import decode_file, encode_file

    torch.set_num_threads(1)
    codec = load_model(model)
    encode_file(source, source.with_suffix(".nac"), codec)
    decode_file(source.with_suffix(".nac"), source.with_name("decoded.wav"), codec)
    print(json.dumps({"peak_mb": _own_peak_mb()}))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]))
