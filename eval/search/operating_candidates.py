"""Candidates that are operating points of one trained model. Nothing is trained; bits are those of real packets."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from codec.audio.channels import channels_to_streams, streams_to_channels
from codec.audio_codec import AudioCodec
from codec.bitstream.header import MAX_PACKET_FRAMES, Header
from codec.bitstream.live import FixedWidthCoder
from codec.bitstream.rate_control import RateControl
from codec.dataset.ledger import record_candidate
from codec.dataset.location import DataLocation, open_split
from codec.errors import UserError
from codec.model.codec import Codec
from codec.model.decoder_dtypes import DTYPES
from codec.pretrained.checkpoint import load_codec
from codec.pretrained.export import export_graphs
from codec.pretrained.loaded_model import LoadedModel
from codec.pretrained.model_folder import model_folder
from codec.pretrained.onnx_backend import with_graphs
from codec.pretrained.registry import find_model
from codec.recipe import read_recipe
from codec.runtime.atomic_files import replacing
from codec.runtime.file_lock import Lock
from codec.runtime.progress import ProgressBar
from codec.runtime.torch_threads import torch_threads
from eval.evaluation.clip_selection import Excerpt, choose_excerpts
from eval.evaluation.codec_scores import ClipScores, CodecScores
from eval.evaluation.scoring import Coding, score_excerpt
from eval.search.cost import Size
from eval.search.exclusive_timing import ExclusiveTiming
from eval.search.packing import CodedPackets, FixedWidthPacking, RangeCodedPacking
from eval.search.plan import OperatingSettings, SearchPlan
from eval.search.space import CandidateSettings
from eval.systems.architectures import SpeedSubject, count_module_parameters

RUNTIMES, ENTROPY = ("eager", "onnx"), ("contexts", "none")


class OperatingPointCandidates:
    """The candidates of a search of operating points; see :class:`eval.search.run.CandidateType`.

    Args:
        plan: plan of the search.
        data: prepared data.
        out: folder of the search.
    """

    def __init__(self, plan: SearchPlan, data: DataLocation, out: Path):
        self._plan, self._data, self._timing = plan, data, ExclusiveTiming(out)
        self._path = find_model(plan.model)
        self.model = load_codec(self._path)
        self._coder = LoadedModel(self.model).coder
        self._models = {("float32", "eager", 1): self.model}
        self._graphs = out / "onnx" / "graphs"
        self.sample_rate, self.channels = self.model.config.sample_rate, _find_channels(self._path)
        self.reference = replace(self.system(plan.starts[0]), name="the default")

    def check_settings(self, settings: CandidateSettings) -> OperatingSettings:
        """Check that the model can be used with settings.

        Args:
            settings: settings of a candidate.

        Returns:
            All operating settings.

        Raises:
            UserError: it cannot.
        """
        use = OperatingSettings(**{"codebooks": self.model.config.quantizer.codebooks, **settings})
        self.model.stream_encoder(codebooks=use.codebooks)  # raises an error for a wrong number of codebooks
        if use.threads < 1:
            raise UserError("threads must be at least 1")
        if use.precision not in DTYPES:
            raise UserError(f"precision must be one of {', '.join(DTYPES)}, not {use.precision}")
        if use.runtime not in RUNTIMES:
            raise UserError(f"runtime must be one of {', '.join(RUNTIMES)}, not {use.runtime}")
        if use.runtime == "onnx" and use.precision != "float32":
            raise UserError(f"the runtime onnx computes in float32 only, not in {use.precision}")
        if use.entropy not in ENTROPY:
            raise UserError(f"entropy must be one of {', '.join(ENTROPY)}, not {use.entropy}")
        if use.kbps < 0 or (use.kbps and self.model.config.quantizer.contexts == 1):
            raise UserError("kbps must be 0 unless the model has contexts, and must not be negative")
        if not 1 <= self._packet_frames(use) <= MAX_PACKET_FRAMES:
            seconds = MAX_PACKET_FRAMES / self.model.config.frame_rate_hz
            raise UserError(f"packet_s must be from one frame to {seconds:g} s for this model, not {use.packet_s:g}")
        return use

    def _packet_frames(self, use: OperatingSettings) -> int:
        return round(use.packet_s * self.model.config.frame_rate_hz)

    def size(self, settings: CandidateSettings) -> Size:
        """Compute size and latency.

        Args:
            settings: settings of a candidate.

        Returns:
            Number of parameters, and the algorithmic latency.

        Raises:
            UserError: the model cannot be used with these settings.
        """
        self.check_settings(settings)
        return Size(count_module_parameters(self.model), self.model.config.latency_ms)

    def system(self, settings: CandidateSettings) -> SpeedSubject:
        """Build what is timed and scored: waveform to packets and back, with entropy coding and rate control.

        Args:
            settings: settings of a candidate.

        Returns:
            Functions that encode and decode.

        Raises:
            UserError: the model cannot be used with these settings.
        """
        use, config = self.check_settings(settings), self.model.config
        model, packing = self._get_model(use), self._make_packing(use)

        def encode(waveform: Tensor) -> CodedPackets:
            with torch_threads(use.threads):
                stream = model.stream_encoder(len(waveform), use.codebooks)
                layout = packing.layout(self._header(use, len(waveform)))
                control = RateControl(use.kbps or math.inf, config.frame_rate_hz, layout, packing.cost)
                parts = [control.push(stream.push(waveform.numpy())), control.push(stream.flush())]
                parts.append(control.flush(waveform.shape[-1] / self.sample_rate))
                return CodedPackets(len(waveform), list(packing.pack(np.concatenate(parts, 2))))

        def decode(coded: CodedPackets) -> Tensor:
            with torch_threads(use.threads):
                stream = model.stream_decoder(coded.streams)
                codes = [packing.unpack(packet, coded.streams, use.codebooks) for packet in coded.packets]
                return torch.from_numpy(np.concatenate([stream.push(np.concatenate(codes, 2)), stream.flush()], 2))

        kbps = use.codebooks * config.kbps_per_codebook
        return SpeedSubject("the candidate", self.sample_rate, kbps, count_module_parameters(model), encode, decode)

    def _header(self, use: OperatingSettings, streams: int) -> Header:
        """Return the header that a file with these settings would have."""
        config = self.model.config
        return Header(
            "0" * 16, self.sample_rate, streams, config.sample_rate, config.latent_hop, use.codebooks,
            config.bits_per_code, self._packet_frames(use), variable=use.kbps > 0, target_bps=round(1000 * use.kbps),
        )  # fmt: skip

    def _get_model(self, use: OperatingSettings) -> Codec:
        key = use.precision, use.runtime, use.threads if use.runtime == "onnx" else 1
        if key not in self._models:
            self._models[key] = self._load_onnx(use.threads) if use.runtime == "onnx" else self._load_torch(use)
        return self._models[key]

    def _load_torch(self, use: OperatingSettings) -> Codec:
        return AudioCodec(load_codec(self._path), dtype=use.precision).model.network

    def _load_onnx(self, threads: int) -> Codec:
        """Return the model in ONNX Runtime; the graphs are written once for all processes of the search."""
        with Lock(self._graphs.with_name("graphs.lock")).held():
            if not self._graphs.exists():
                with replacing(self._graphs) as part:
                    export_graphs(self.model, part, {})
        return with_graphs(self.model, self._graphs, threads)

    def _make_packing(self, use: OperatingSettings) -> RangeCodedPacking | FixedWidthPacking:
        if use.entropy == "none":
            return FixedWidthPacking(FixedWidthCoder(self.model.config.quantizer.size))
        return RangeCodedPacking(self._coder, self._packet_frames(use), use.kbps > 0)

    def codec(self, settings: CandidateSettings) -> Codec:
        """Return the model, which is the same for all candidates.

        Args:
            settings: settings of a candidate.

        Returns:
            The model.
        """
        return self.model

    def score(self, settings: CandidateSettings, folder: Path, rung: int, seed: int) -> CodecScores:
        """Code the validation clips and score them.

        Args:
            settings: settings of the candidate.
            folder: folder of the candidate, which identifies it in the data's list of candidates.
            rung: not used, since there is one rung.
            seed: not used, since nothing is random.

        Returns:
            Scores of all validation clips.
        """
        record_candidate(self._data, str(folder.resolve()))
        use, system = self.check_settings(settings), self.system(settings)
        clips = choose_excerpts(open_split(self._data, "val", self.sample_rate, self.channels), self._plan.clips)
        scores = [
            self._score_clip(clip, system) for clip in ProgressBar(clips, desc=f"score {folder.name}", unit="clip")
        ]
        nominal = use.codebooks * self.model.config.kbps_per_codebook * self.channels
        return CodecScores(nominal, use.codebooks, nominal, scores)

    def _score_clip(self, clip: Excerpt, system: SpeedSubject) -> ClipScores:
        stereo = self.model.config.stereo
        with self._timing:
            coded = system.encode(torch.from_numpy(channels_to_streams(clip.waveform, stereo)))
            decoded = streams_to_channels(system.decode(coded)[..., : clip.waveform.shape[1]].numpy(), stereo)
            return score_excerpt(clip, Coding(decoded, coded.bits), [self._plan.metric])


def _find_channels(path: Path) -> int:
    """Return the number of channels that the model was trained with; 1 if that is not known."""
    folder = model_folder(path)
    for recipe in (folder / "recipe.yaml", folder.parent / "recipe.yaml"):
        if recipe.is_file():
            return read_recipe(str(recipe)).data.channels
    return 1
