"""``python -m eval.benchmarks.single_frames MODEL --audio FILE``: ways to compute streams of single frames.

They take turns, on one thread, and processor time is counted, so that other load affects them all.
"""

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codec import audio
from codec.audio.waveform import FloatArray
from codec.errors import UserError
from codec.model.backend import InferenceBackend
from codec.model.codec import Codec
from codec.model.streaming import BLOCK, StreamDecoder, StreamEncoder
from codec.model.torch_backend import TorchBackend
from codec.pretrained.export import GraphOptions, export_graphs
from codec.pretrained.onnx_backend import with_graphs
from codec.pretrained.registry import load_model
from codec.runtime.progress import ProgressBar
from codec.runtime.torch_threads import torch_threads
from eval.pages.text_table import Table

LAYERS = "layers"
"""The way that the others are compared with."""


@dataclass
class FrameTiming:
    """One way to compute streams of single frames."""

    encode_ms: list[float] = field(default_factory=list)
    """Processor time of each frame in milliseconds."""
    decode_ms: list[float] = field(default_factory=list)
    """Processor time of each frame in milliseconds."""
    decoded: FloatArray | None = None
    """The waveform."""
    codes: npt.NDArray[np.int64] | None = None
    """Its own codes; what is decoded are those of :data:`LAYERS`."""


def time_frames(codec: Codec, waveform: FloatArray, rounds: int) -> dict[str, FrameTiming]:
    """Time streams of single frames, in turns. All ways decode the same codes.

    Args:
        codec: model on the CPU
        waveform: what is encoded ``[1, 1, samples]``; the first fifth of the frames is not counted
        rounds: streams of each kind

    Returns:
        The timings of each way: the layers, the steps for single frames, and the ONNX graphs for them in float32 and
        with a decoder in int8.
    """
    hop, count = codec.config.latent_hop, codec.config.quantizer.codebooks
    frames = [waveform[..., at : at + hop] for at in range(0, waveform.shape[2] - hop + 1, hop)]
    with tempfile.TemporaryDirectory() as folder, torch_threads(1):
        export_graphs(codec, Path(folder), {}, graphs=GraphOptions(dtypes=("int8",), single_frames=True))
        graphs = {dtype: with_graphs(codec, Path(folder), dtype=dtype).backend for dtype in ("float32", "int8")}
        ways: dict[str, InferenceBackend | None] = {
            LAYERS: TorchBackend(codec),
            "steps for single frames": TorchBackend(codec),
            "ONNX graphs for single frames": graphs["float32"],
            "the same, decoder in int8": graphs["int8"],
        }
        found = {name: FrameTiming() for name in ways}
        for _ in ProgressBar(range(rounds), desc="streams", unit="round"):
            for name, backend in ways.items():
                assert backend is not None
                block = BLOCK if name == LAYERS else 1
                encoder = StreamEncoder(codec.config, backend.encoding_step(count, block), 1, 1)
                decoder = StreamDecoder(codec.config, backend.decoding_step(block), 1, 1)
                own, decoded = [], []
                for number, frame in enumerate(frames):
                    started = time.thread_time()
                    own.append(encoder.push(frame).codes)
                    middle = time.thread_time()
                    given = own[-1] if name == LAYERS else found[LAYERS].codes[..., number : number + 1]  # type: ignore[index]
                    decoding = time.thread_time()
                    decoded.append(decoder.push(given))
                    if number >= len(frames) // 5:
                        found[name].encode_ms.append(1000 * (middle - started))
                        found[name].decode_ms.append(1000 * (time.thread_time() - decoding))
                found[name].codes, found[name].decoded = np.concatenate(own, 2), np.concatenate(decoded, 2)
    return found


def frames_table(timings: dict[str, FrameTiming], frame_ms: float) -> Table:
    """Return the timings as a table.

    Args:
        timings: from :func:`time_frames`
        frame_ms: duration of a frame

    Returns:
        A row for each way.
    """
    reference, rows = timings[LAYERS], []
    for name, one in timings.items():
        encode, decode = statistics.median(one.encode_ms), statistics.median(one.decode_ms)
        assert one.decoded is not None and reference.decoded is not None
        error, power = np.square(one.decoded - reference.decoded).sum(), np.square(reference.decoded).sum()
        rows.append(
            [
                name,
                f"{encode:.2f}",
                f"{decode:.2f}",
                f"{frame_ms / encode:.1f}",
                f"{frame_ms / decode:.1f}",
                f"{100 * np.mean(one.codes == reference.codes):.2f}",
                f"{10 * np.log10(power / error):.1f}" if error else "",
            ]
        )
    return Table(
        "Single frames",
        "Medians of the processor times of a frame on one thread, times real time, and what differs from the layers:"
        " the share of equal codes, and the level of the difference under the decoded waveform, from the same codes.",
        ["way", "encode, ms", "decode, ms", "encode, x", "decode, x", "equal codes, %", "difference, dB"],
        rows,
    )


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m eval.benchmarks.single_frames", description="Time ways to compute streams of single frames."
    )
    parser.add_argument("model", nargs="?", default="speech_16k_v2", help="model (default: %(default)s)")
    parser.add_argument("--audio", type=Path, required=True, help="audio file at the sample rate of the model")
    parser.add_argument("--seconds", type=float, default=4.0, help="how much of it (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    arguments = parser.parse_args()
    try:
        codec, source = load_model(arguments.model).network, audio.read(arguments.audio)
        if source.sample_rate != codec.config.sample_rate:
            raise UserError(f"{arguments.audio}: {source.sample_rate} Hz, not {codec.config.sample_rate} Hz")
        waveform = source.samples[None, :1, : round(arguments.seconds * source.sample_rate)].astype(np.float32)
        frame_ms = 1000 * codec.config.latent_hop / codec.config.sample_rate
        print(frames_table(time_frames(codec, waveform, arguments.rounds), frame_ms).markdown())
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    _main()
