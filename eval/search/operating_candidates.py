"""Candidates that are ways to use one trained model: nothing is trained, bits are those of real packets."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from codec.api import AudioCodec
from codec.audio.channels import channels_to_streams, streams_to_channels
from codec.bitstream.codes import CodeArray
from codec.bitstream.framing import frame_packet
from codec.bitstream.live import FixedWidthCoder, frame_bytes
from codec.bitstream.range_coder import RangeCoder
from codec.bitstream.rate_control import RateControl, payload_bits
from codec.dataset.ledger import record_candidate
from codec.dataset.packed import open_split
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import load_codec
from codec.pretrained.export import export_graphs
from codec.pretrained.loaded_model import LoadedModel
from codec.pretrained.model_folder import model_folder
from codec.pretrained.onnx_backend import with_graphs
from codec.pretrained.registry import find_model
from codec.recipe import read_recipe
from codec.runtime.atomic_files import replacing
from codec.runtime.file_lock import Lock
from eval.evaluation.clip_selection import Excerpt, choose_excerpts
from eval.evaluation.codec_scores import ClipScores, CodecScores
from eval.evaluation.scoring import Coding, score_excerpt
from eval.search.cost import Size
from eval.search.exclusive_timing import Turns
from eval.search.plan import SearchPlan, Use
from eval.search.space import Settings
from eval.systems.architectures import PLAIN, SpeedSubject, count_parameters

MOST_FRAMES = 255
"""Of a packet."""

RUNTIMES = ("eager", "compiled", "onnx")


@dataclass(frozen=True)
class Packet:
    """``bytes``: with all that is around the payload."""

    frames: int
    payload: bytes
    bytes: int


@dataclass(frozen=True)
class Packets:
    """Of so many streams together."""

    streams: int
    packets: list[Packet]

    @property
    def bits(self) -> float:
        return 8.0 * sum(packet.bytes for packet in self.packets)


class Packing:
    """Codes ``[channels, codebooks, frames]`` as packets of range-coded codes."""

    def __init__(self, coder: RangeCoder, frames: int, variable: bool):
        self.coder, self.frames, self.variable = coder, frames, variable
        self.cost = payload_bits(coder)

    def pack(self, codes: CodeArray) -> Iterator[Packet]:
        for number, start in enumerate(range(0, codes.shape[2], self.frames)):
            part = codes[..., start : start + self.frames]
            payload = self.coder.encode(part, self.variable)
            yield Packet(part.shape[2], payload, len(frame_packet(number, payload)))

    def unpack(self, packet: Packet, channels: int, codebooks: int) -> CodeArray:
        return self.coder.decode(packet.payload, channels, codebooks, packet.frames, self.variable)


class FixedPacking:
    """Each frame as a packet with codes of fixed width, as in live streams."""

    frames = 1

    def __init__(self, coder: FixedWidthCoder):
        self.coder = coder

    def pack(self, codes: CodeArray) -> Iterator[Packet]:
        for number in range(codes.shape[2]):
            body = self.coder.pack(codes[..., number])
            yield Packet(1, body, len(frame_bytes(number, body)))

    def unpack(self, packet: Packet, channels: int, codebooks: int) -> CodeArray:
        return self.coder.unpack(packet.payload, channels, codebooks)[..., None]

    def cost(self, codes: CodeArray) -> float:
        return 8.0 * sum(len(packet.payload) for packet in self.pack(codes))


class OperatingPoints:
    """What a search asks about candidates of this kind."""

    def __init__(self, plan: SearchPlan, data: Path, out: Path):
        self.plan, self.data, self.turns = plan, data, Turns(out)
        self.place = find_model(plan.model)
        self.model = load_codec(self.place)
        self.coders = {
            "contexts": LoadedModel(self.model).coder,
            "order 0": RangeCoder(self.model.tables.order_0().to_numpy()),
        }
        self.models = {("float32", "eager", 1): self.model}
        self.graphs = out / "onnx" / "graphs"
        self.sample_rate, self.channels = self.model.config.sample_rate, _channels(self.place)
        self.reference = replace(self.system(plan.starts[0]), name="the default")

    def use(self, settings: Settings) -> Use:
        """Raises ``UserError`` where the model cannot be used like this."""
        use = Use(**{"codebooks": self.model.config.quantizer.codebooks, **settings})
        self.model.stream_encoder(codebooks=use.codebooks)  # refuses what it does not have
        if use.threads < 1 or use.block < 1:
            raise UserError("threads and block must be at least 1")
        if use.runtime not in RUNTIMES:
            raise UserError(f"runtime must be {', '.join(RUNTIMES)}, not {use.runtime}")
        if use.runtime == "onnx" and use.precision != "float32":
            raise UserError(f"the runtime onnx has float32 alone, not {use.precision}")
        if use.entropy not in (*self.coders, "none"):
            raise UserError(f"entropy must be {', '.join(self.coders)} or none, not {use.entropy}")
        if use.kbps < 0 or (use.kbps and (use.entropy == "order 0" or self.model.config.quantizer.contexts == 1)):
            raise UserError("kbps must be 0, or above where the model and entropy have contexts")
        if not 1 <= self.packet_frames(use) <= MOST_FRAMES:
            seconds = MOST_FRAMES / self.model.config.frame_rate_hz
            raise UserError(f"packet_s must be a frame to {seconds:g} s for this model, not {use.packet_s:g}")
        return use

    def packet_frames(self, use: Use) -> int:
        return round(use.packet_s * self.model.config.frame_rate_hz)

    def size(self, settings: Settings) -> Size:
        """Latency with the frames of a block that are waited for."""
        config, use = self.model.config, self.use(settings)
        waited_ms = 1000 * (use.block - 1) / config.frame_rate_hz
        return Size(count_parameters(self.model), config.latency_ms + waited_ms)

    def system(self, settings: Settings) -> SpeedSubject:
        """Sound to packets and back, entropy coding and rate control included."""
        use, config = self.use(settings), self.model.config
        model, packing = self._model(use), self._packing(use)

        def encode(wave: Tensor) -> Packets:
            torch.set_num_threads(use.threads)
            stream = model.stream_encoder(len(wave), use.codebooks, use.block)
            control = RateControl(use.kbps or math.inf, config.frame_rate_hz, packing.frames, packing.cost)
            parts = [control.push(stream.push(wave.numpy())), control.push(stream.flush()), control.flush()]
            return Packets(len(wave), list(packing.pack(np.concatenate(parts, 2))))

        def decode(coded: Packets) -> Tensor:
            torch.set_num_threads(use.threads)
            stream = model.stream_decoder(coded.streams, use.block)
            codes = [packing.unpack(packet, coded.streams, use.codebooks) for packet in coded.packets]
            return torch.from_numpy(np.concatenate([stream.push(np.concatenate(codes, 2)), stream.flush()], 2))

        kbps = use.codebooks * config.kbps_per_codebook
        return SpeedSubject("the candidate", PLAIN, self.sample_rate, kbps, count_parameters(model), encode, decode)

    def _model(self, use: Use) -> Codec:
        key = use.precision, use.runtime, use.threads if use.runtime == "onnx" else 1
        if key not in self.models:
            self.models[key] = self._graphs(use.threads) if use.runtime == "onnx" else self._torch(use)
        return self.models[key]

    def _torch(self, use: Use) -> Codec:
        model = AudioCodec(load_codec(self.place), dtype=use.precision).model.codec
        if use.runtime == "compiled":
            model.encoder.compile()
            model.decoder.compile()
        return model

    def _graphs(self, threads: int) -> Codec:
        """Of the model as it is; they are written once for all processes of a search."""
        with Lock(self.graphs.with_name("graphs.lock")).held():
            if not self.graphs.exists():
                with replacing(self.graphs) as part:
                    export_graphs(self.model, part, {})
        return with_graphs(self.model, self.graphs, threads)

    def _packing(self, use: Use) -> Packing | FixedPacking:
        if use.entropy == "none":
            return FixedPacking(FixedWidthCoder(self.model.config.quantizer.size))
        return Packing(self.coders[use.entropy], self.packet_frames(use), use.kbps > 0)

    def codec(self, settings: Settings) -> Codec:
        return self.model

    def judge(self, settings: Settings, folder: Path, rung: int, seed: int) -> CodecScores:
        """Codes and judges the validation clips; there is but one rung, and nothing random."""
        record_candidate(self.data, str(folder.resolve()))
        use, system = self.use(settings), self.system(settings)
        split = open_split(self.data, "val", self.sample_rate, self.channels)
        clips = [
            self._judge(clip, system)
            for clip in tqdm(choose_excerpts(split, self.plan.clips), desc=f"judge {folder.name}", unit="clip")
        ]
        nominal = use.codebooks * self.model.config.kbps_per_codebook * self.channels
        return CodecScores(nominal, use.codebooks, nominal, clips)

    def _judge(self, clip: Excerpt, system: SpeedSubject) -> ClipScores:
        stereo = self.model.config.stereo
        with self.turns:
            coded = system.encode(torch.from_numpy(channels_to_streams(clip.waveform, stereo)))
            decoded = streams_to_channels(system.decode(coded)[..., : clip.waveform.shape[1]].numpy(), stereo)
            return score_excerpt(clip, Coding(decoded, coded.bits), [self.plan.metric])


def _channels(place: Path) -> int:
    """Those that the model was trained for, where that is known."""
    folder = model_folder(place)
    for path in (folder / "recipe.yaml", folder.parent / "recipe.yaml"):
        if path.is_file():
            return read_recipe(str(path)).data.channels
    return 1
