"""Candidates that are ways to use one trained model: nothing is trained, bits are those of real packets."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from codec.bitstream.packets import pack
from codec.bitstream.rangecoder import Codes
from codec.channels import fold, unfold
from codec.checkpoint import load_model, model_folder
from codec.errors import UserError
from codec.library import find
from codec.model.codec import Codec
from codec.packed import open_split, record_candidate
from codec.reading import range_coder
from codec.recipe import read_recipe
from eval.judging import Excerpt, Judged, JudgedClip, excerpts, judge_clip
from eval.peers import PLAIN, System, count_parameters
from eval.search.footprint import Size
from eval.search.plan import SearchPlan, Use
from eval.search.space import Settings

MOST_FRAMES = 255
"""Of a packet."""


class OperatingPoints:
    """What a search asks about candidates of this kind."""

    def __init__(self, plan: SearchPlan, data: Path):
        self.plan, self.data = plan, data
        place = find(plan.model)
        self.model = load_model(place)
        self.coder = range_coder(self.model)
        self.sample_rate, self.channels = self.model.config.sample_rate, _channels(place)
        self.reference = replace(self.system(plan.starts[0]), name="the default")

    def use(self, settings: Settings) -> Use:
        """Raises ``UserError`` where the model cannot be used like this."""
        use = Use(**{"codebooks": self.model.config.quantizer.codebooks, **settings})
        self.model.stream_encoder(codebooks=use.codebooks)  # refuses what it does not have
        if use.threads < 1 or use.block < 1:
            raise UserError("threads and block must be at least 1")
        if not 1 <= self.packet_frames(use) <= MOST_FRAMES:
            seconds = MOST_FRAMES / self.model.config.latents_per_second
            raise UserError(f"packet_s must be a frame to {seconds:g} s for this model, not {use.packet_s:g}")
        return use

    def packet_frames(self, use: Use) -> int:
        return round(use.packet_s * self.model.config.latents_per_second)

    def size(self, settings: Settings) -> Size:
        """Latency with the frames of a block that are waited for."""
        config, use = self.model.config, self.use(settings)
        waited_ms = 1000 * (use.block - 1) / config.latents_per_second
        return Size(count_parameters(self.model), config.latency_ms + waited_ms)

    def system(self, settings: Settings) -> System:
        use = self.use(settings)

        def encode(wave: Tensor) -> Tensor:
            torch.set_num_threads(use.threads)
            stream = self.model.stream_encoder(len(wave), use.codebooks, use.block)
            return torch.cat([stream.push(wave).codes, stream.flush().codes], 2)

        def decode(codes: Tensor) -> Tensor:
            torch.set_num_threads(use.threads)
            stream = self.model.stream_decoder(len(codes), use.block)
            return torch.cat([stream.push(codes), stream.flush()], 2)

        kbps = use.codebooks * self.model.config.kbps_per_codebook
        return System("the candidate", PLAIN, self.sample_rate, kbps, count_parameters(self.model), encode, decode)

    def codec(self, settings: Settings) -> Codec:
        return self.model

    def judge(self, settings: Settings, folder: Path, rung: int, seed: int) -> Judged:
        """Codes and judges the validation clips; there is but one rung, and nothing random."""
        record_candidate(self.data, str(folder.resolve()))
        use, system = self.use(settings), self.system(settings)
        split = open_split(self.data, "val", self.sample_rate, self.channels)
        clips = [
            self._judge(clip, use, system)
            for clip in tqdm(excerpts(split, self.plan.clips), desc=f"judge {folder.name}", unit="clip")
        ]
        nominal = use.codebooks * self.model.config.kbps_per_codebook * self.channels
        return Judged(nominal, use.codebooks, nominal, clips)

    def _judge(self, clip: Excerpt, use: Use, system: System) -> JudgedClip:
        stereo = self.model.config.stereo
        streams = fold(torch.from_numpy(clip.wave), stereo)
        codes = system.encode(streams)
        decoded = unfold(system.decode(codes)[..., : clip.wave.shape[1]], stereo).numpy()
        bits = self._bits(codes.numpy(), self.packet_frames(use))
        return judge_clip(clip, decoded, bits, self.sample_rate, [self.plan.metric])

    def _bits(self, codes: Codes, frames: int) -> float:
        """Of packets of so many frames, with all that is around the codes in each."""
        starts = range(0, codes.shape[2], frames)
        packets = [pack(i, self.coder.encode(codes[..., at : at + frames])) for i, at in enumerate(starts)]
        return 8.0 * sum(map(len, packets))


def _channels(place: Path) -> int:
    """Those that the model was trained for, where that is known."""
    folder = model_folder(place)
    for path in (folder / "recipe.yaml", folder.parent / "recipe.yaml"):
        if path.is_file():
            return read_recipe(str(path)).data.channels
    return 1
