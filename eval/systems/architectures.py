"""Other codecs, from whichever of their packages are installed: published architectures with random weights.

Speed does not depend on the weights, so none are downloaded. Each peer is timed as its package runs it, and again at
its best: weight normalisation folded into the weights, once, before coding.
"""

import importlib
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, remove_weight_norm

from codec.runtime.extras import installed
from eval.systems.peer_installation import peer_install_command

PLAIN, BEST = "plain", "best"
REFERENCE = "EnCodec 24 kHz, 6 kbps"
"""Ratios are to this peer, which codes at the speech recipes' own bit rate."""


@dataclass(frozen=True)
class SpeedSubject:
    """Something that codes ``[1, 1, samples]``. ``encode`` may return anything that ``decode`` takes."""

    name: str
    mode: str
    sample_rate: int
    kbps: float
    parameters: int
    encode: Callable[[Tensor], Any]
    decode: Callable[[Any], Tensor]
    networks: tuple[nn.Module, ...] = ()
    """What ``--compile`` compiles."""


@dataclass(frozen=True)
class Peers:
    systems: list[SpeedSubject] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    """A line for each package that is not there, or does not run here."""


def build_peers() -> Peers:
    found = Peers()
    for package, (module, build) in PACKAGES.items():
        install = peer_install_command(package)
        if not installed(module):
            found.absent.append(f"{package}: not installed; {install}")
            continue
        try:
            load(module)
            with torch.random.fork_rng(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.manual_seed(0)
                found.systems.extend(build())
        except Exception as error:  # whatever it is, it is that package's, and the others can be timed
            reason = (str(error).splitlines() or [""])[0]
            found.absent.append(f"{package}: does not run here ({type(error).__name__}: {reason}); {install}")
    return found


def load(module: str) -> Any:
    """Imports a peer's module, with a torchaudio that can be imported on any machine."""
    import eval.systems.torchaudio_compat  # noqa: F401

    os.environ.setdefault("NO_TORCH_COMPILE", "1")  # moshi compiles while it runs otherwise
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(module)


def fill_codebooks(model: nn.Module) -> None:
    """Random entries for codebooks that a package leaves at zero until a checkpoint is loaded."""
    generator = torch.Generator().manual_seed(0)
    for name, values in model.named_buffers():
        kind = name.rsplit(".", 1)[-1]
        if kind in ("embed", "embed_avg", "embedding_sum"):
            values.copy_(torch.randn(values.shape, generator=generator))
        elif kind in ("inited", "_initialized", "cluster_usage"):
            values.fill_(1)
        elif kind == "cluster_size":
            values.fill_(1e9)  # in use: no training step replaces an entry


def fold_weight_norm(model: nn.Module) -> None:
    for module in model.modules():
        if hasattr(module, "weight_g"):
            remove_weight_norm(module)
        elif parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")


def count_parameters(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def _both(build: Callable[[], nn.Module], wrap: Callable[[nn.Module, str], SpeedSubject]) -> list[SpeedSubject]:
    """The peer as it is and at its best."""
    systems = []
    for mode in (PLAIN, BEST):
        model = build().eval()
        if mode == BEST:
            fold_weight_norm(model)
        systems.append(wrap(model.requires_grad_(False), mode))
    return systems


def encodec_24k() -> nn.Module:
    model: nn.Module = load("encodec").EncodecModel.encodec_model_24khz(pretrained=False)
    fill_codebooks(model)
    return model


def _encodec() -> list[SpeedSubject]:
    def at(kbps: float) -> Callable[[nn.Module, str], SpeedSubject]:
        def wrap(model: Any, mode: str) -> SpeedSubject:
            model.set_target_bandwidth(kbps)
            parts = (model.encoder, model.decoder)
            name = f"EnCodec 24 kHz, {kbps:g} kbps"
            return SpeedSubject(name, mode, 24000, kbps, count_parameters(*parts), model.encode, model.decode, parts)

        return wrap

    return _both(encodec_24k, at(6.0)) + _both(encodec_24k, at(24.0))


def dac_24k() -> nn.Module:
    model: nn.Module = load("dac.model").DAC(
        encoder_rates=[2, 4, 5, 8], decoder_rates=[8, 5, 4, 2], n_codebooks=32, sample_rate=24000
    )
    return model


def _dac() -> list[SpeedSubject]:
    def wrap(model: Any, mode: str) -> SpeedSubject:
        def encode(wave: Tensor) -> Tensor:
            codes: Tensor = model.encode(model.preprocess(wave, model.sample_rate))[1]
            return codes

        def decode(codes: Tensor) -> Tensor:
            wave: Tensor = model.decode(model.quantizer.from_codes(codes)[0])
            return wave

        parts = (model.encoder, model.decoder)
        return SpeedSubject("DAC 24 kHz", mode, 24000, 24.0, count_parameters(model), encode, decode, parts)

    return _both(dac_24k, wrap)


def _snac() -> list[SpeedSubject]:
    def build() -> nn.Module:
        model: nn.Module = load("snac").SNAC(
            sampling_rate=24000,
            encoder_dim=48,
            encoder_rates=[2, 4, 8, 8],
            decoder_dim=1024,
            decoder_rates=[8, 8, 4, 2],
            attn_window_size=None,
            codebook_size=4096,
            vq_strides=[4, 2, 1],
        )
        return model

    def wrap(model: Any, mode: str) -> SpeedSubject:
        parts = (model.encoder, model.decoder)
        return SpeedSubject(
            "SNAC 24 kHz", mode, 24000, 0.98, count_parameters(model), model.encode, model.decode, parts
        )

    return _both(build, wrap)


def _mimi() -> list[SpeedSubject]:
    def build() -> nn.Module:
        model: nn.Module = load("moshi.models").loaders.get_mimi(None, device="cpu", num_codebooks=32)
        fill_codebooks(model)
        return model

    def wrap(model: Any, mode: str) -> SpeedSubject:
        parts = (model.encoder, model.decoder)
        return SpeedSubject("Mimi 24 kHz", mode, 24000, 4.4, count_parameters(model), model.encode, model.decode, parts)

    return _both(build, wrap)


def _vocos() -> list[SpeedSubject]:
    def build() -> nn.Module:
        features = load("vocos.feature_extractors").MelSpectrogramFeatures(24000, 1024, 256, 100, "center")
        backbone = load("vocos.models").VocosBackbone(100, 512, 1536, 8)
        head = load("vocos.heads").ISTFTHead(512, 1024, 256, "center")
        model: nn.Module = load("vocos.pretrained").Vocos(features, backbone, head)
        return model

    def wrap(model: Any, mode: str) -> SpeedSubject:
        def encode(wave: Tensor) -> Tensor:
            mel: Tensor = model.feature_extractor(wave[:, 0])
            return mel

        name = "Vocos 24 kHz (mel to wave, no codes)"
        return SpeedSubject(name, mode, 24000, 0.0, count_parameters(model), encode, model.decode, (model.backbone,))

    return _both(build, wrap)


PACKAGES: dict[str, tuple[str, Callable[[], list[SpeedSubject]]]] = {
    "encodec": ("encodec", _encodec),
    "descript-audio-codec": ("dac", _dac),
    "snac": ("snac", _snac),
    "moshi": ("moshi", _mimi),
    "vocos": ("vocos", _vocos),
}
"""Name for pip: module, and what to build from it."""
