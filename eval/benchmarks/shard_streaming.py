"""Speed of reading training crops: a local memory map beside shards through the cache.

``python -m eval.benchmarks.shard_streaming [--hours H] [--crops N]`` makes packed data of H hours in shards of 17
minutes, all of which are one file of noise under many names (hard links), so that the disk holds it once. It is read

- as a local folder, by memory map, and
- over HTTP from this machine, through a cache of 1.5 GB that is empty at first,

in a new process each, one crop of a second after the other, as a training with ``data.workers`` 0 draws them. Printed
are the time until the data is open, the crops per second, both of the clock and of the processor, the memory at the end
without mapped files, and what was fetched.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from codec.dataset.packed import packed_folder
from codec.dataset.shard_cache import FOLDER_VARIABLE, LIMIT_VARIABLE

_RATE_HZ = 16000
_CLIP_S = 10
_SHARD_CLIPS = 105
_CACHE_GB = 1.5
_COLUMNS = "clip_id,shard,start,frames,path,domain,group,seconds,rms_dbfs,bandwidth_hz,noise_dbfs,sha256,source"


def make_shards(data: Path, hours: float) -> None:
    """Write packed data whose shards are one file under many names.

    Args:
        data: the data folder to make.
        hours: hours of training audio.
    """
    folder = packed_folder(data, _RATE_HZ, 1)
    folder.mkdir(parents=True)
    frames = _CLIP_S * _RATE_HZ
    noise = np.random.default_rng(0).integers(-8000, 8000, (_SHARD_CLIPS * frames, 1), dtype=np.int16)
    np.save(folder / "val-00000.npy", noise)
    shards = max(1, round(hours * 3600 / (_CLIP_S * _SHARD_CLIPS)))
    counts = {}
    for split, number in (("train", shards), ("val", 1)):
        rows = [_COLUMNS]
        for shard in range(number):
            name = f"{split}-{shard:05d}.npy"
            if split == "train":
                os.link(folder / "val-00000.npy", folder / name)
            for clip in range(_SHARD_CLIPS):
                key = f"{split}-{shard}-{clip}"
                place = f"{name},{clip * frames},{frames},{key}.wav,speech,{split}-{clip},{_CLIP_S}"
                rows.append(f"{key},{place},-17,8000,-20,{key},made")
        (folder / f"{split}.csv").write_text("\n".join(rows) + "\n")
        counts[split] = number * _SHARD_CLIPS
    header = {"sample_rate": _RATE_HZ, "channels": 1, "version": 1, "clips": counts}
    (folder / "packed.json").write_text(json.dumps(header))


def _own_memory_bytes() -> int:
    """Return the memory of this process without mapped files, which the system takes back when it needs room; Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:")), 0)


def _read(place: str, crops: int) -> None:
    """Open the data in this process, draw crops, and print the measurements."""
    from codec.dataset.location import parse_location
    from codec.recipe import read_recipe
    from codec.training.data_module import CodecData

    recipe, before = read_recipe("speech_16k", ["--data.batch_size=1", "--data.crop_s=1"]), _own_memory_bytes()
    start = time.perf_counter()
    data = CodecData(parse_location(place), recipe)
    opened = time.perf_counter()
    _ = data.train_crops[0]
    first, used = time.perf_counter(), time.process_time()
    for step in range(1, crops):
        _ = data.train_crops[step]
    seconds, used = time.perf_counter() - first, time.process_time() - used
    memory = _own_memory_bytes() - before
    print(json.dumps([opened - start, first - opened, (crops - 1) / seconds, (crops - 1) / used, memory]))


@contextlib.contextmanager
def serve_folder(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder over HTTP on this machine while the block runs.

    Args:
        folder: the folder.

    Yields:
        Its URL, and the paths of the files that were sent, to which others are added.
    """
    sent: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, sent=sent, directory=os.fspath(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", sent
    finally:
        server.shutdown()
        server.server_close()


class _Handler(SimpleHTTPRequestHandler):
    """A silent handler that counts what it sends."""

    sent: list[str]

    def __init__(self, *arguments: object, sent: list[str], directory: str) -> None:
        self.sent = sent
        super().__init__(*arguments, directory=directory)  # type: ignore[arg-type]

    def log_message(self, format: str, *arguments: object) -> None:
        """Print nothing."""

    def handle(self) -> None:
        """Answer, whether the client waits for the end or not."""
        with contextlib.suppress(ConnectionError):
            super().handle()

    def copyfile(self, source: object, outputfile: object) -> None:
        """Count an answer and send it."""
        self.sent.append(self.path)
        super().copyfile(source, outputfile)  # type: ignore[arg-type]


def _measure(place: str, crops: int, cache: Path) -> list[float]:
    environment = {**os.environ, FOLDER_VARIABLE: os.fspath(cache), LIMIT_VARIABLE: str(_CACHE_GB)}
    command = [sys.executable, "-m", "eval.benchmarks.shard_streaming", "--read", place, "--crops", str(crops)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return list(json.loads(done.stdout.splitlines()[-1]))


def _main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m eval.benchmarks.shard_streaming",
        description="Print how fast crops are read from a memory map and from shards over HTTP.",
    )
    parser.add_argument("--hours", type=float, default=200, help="hours of audio (default: %(default)s)")
    parser.add_argument("--crops", type=int, default=20_000, help="crops to read (default: %(default)s)")
    parser.add_argument("--read", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.read:
        _read(options.read, options.crops)
        return
    titles = "open, s | first crop, s | crops/s | crops/s of processor time | memory, MB | shards fetched"
    print(f"| {options.hours:g} hours | {titles} |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        make_shards(data, options.hours)
        with serve_folder(data) as (url, sent):
            for label, place in (("memory map", os.fspath(data)), ("HTTP", url), ("HTTP, again", url)):
                sent.clear()
                opened, first, speed, cpu, memory = _measure(place, options.crops, Path(name) / "cache")
                shards = len({path for path in sent if path.endswith(".npy")})
                cells = [f"{opened:.1f}", f"{first:.2f}", f"{speed:.0f}", f"{cpu:.0f}", f"{memory / 1e6:.0f}"]
                print(f"| {label} | {' | '.join(cells)} | {shards} |", flush=True)


if __name__ == "__main__":
    _main()
