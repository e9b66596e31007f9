"""Published architectures of other codecs with random weights, from those of their packages that are installed.

Speed does not depend on the weights, so none are downloaded. Weight normalisation is folded into the weights, which
makes these architectures faster than their packages run them.
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

REFERENCE = "EnCodec 24 kHz, 6 kbps"
"""Ratios of speed are to this architecture, which codes at the bit rate of the speech recipes."""


@dataclass(frozen=True)
class SpeedSubject:
    """A codec whose speed is measured."""

    name: str
    sample_rate: int
    kbps: float
    parameters: int | None
    """Number of parameters; None if the networks are not in this process."""
    encode: Callable[[Tensor], Any]
    """Function of a waveform ``[1, 1, samples]``; returns the argument of ``decode``."""
    decode: Callable[[Any], Tensor]
    networks: tuple[nn.Module, ...] = ()
    """The networks that ``--compile`` compiles."""


@dataclass(frozen=True)
class Peers:
    """The architectures that can be timed here."""

    systems: list[SpeedSubject] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    """A line for each package that is not installed or does not run here."""


def build_peers() -> Peers:
    """Build every architecture whose package is installed.

    Returns:
        The architectures, and the packages that are absent.
    """
    found = Peers()
    for package, (module, build) in PACKAGES.items():
        install = peer_install_command(package)
        if not installed(module):
            found.absent.append(f"{package}: not installed; {install}")
            continue
        try:
            import_peer(module)
            with torch.random.fork_rng(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.manual_seed(0)
                found.systems.extend(build())
        except Exception as error:  # whatever it is, it is that package's, and the others can be timed
            reason = (str(error).splitlines() or [""])[0]
            found.absent.append(f"{package}: does not run here ({type(error).__name__}: {reason}); {install}")
    return found


def import_peer(module: str) -> Any:
    """Import a module of a peer's package, with a torchaudio that can be imported on any machine.

    Args:
        module: its name.

    Returns:
        The module.
    """
    import eval.systems.torchaudio_compat  # noqa: F401

    os.environ.setdefault("NO_TORCH_COMPILE", "1")  # moshi compiles while it runs otherwise
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(module)


def fill_codebooks(model: nn.Module) -> None:
    """Fill codebooks that a package leaves at zero until a checkpoint is loaded with random entries.

    Args:
        model: model to change.
    """
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
    """Replace weight normalisation by the normalised weights.

    Args:
        model: model to change.
    """
    for module in model.modules():
        if hasattr(module, "weight_g"):
            remove_weight_norm(module)
        elif parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")


def count_module_parameters(*modules: nn.Module) -> int:
    """Count the parameters of modules.

    Args:
        modules: without common parts.

    Returns:
        Number of values.
    """
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def _folded(build: Callable[[], nn.Module], wrap: Callable[[nn.Module], SpeedSubject]) -> SpeedSubject:
    """Build a peer with folded weight normalisation."""
    model = build().eval()
    fold_weight_norm(model)
    return wrap(model.requires_grad_(False))


def encodec_24k() -> nn.Module:
    """Build EnCodec at 24 kHz (A. Défossez et al., 2022) with random weights.

    Returns:
        The model of the package ``encodec``.
    """
    model: nn.Module = import_peer("encodec").EncodecModel.encodec_model_24khz(pretrained=False)
    fill_codebooks(model)
    return model


def _encodec() -> list[SpeedSubject]:
    def at(kbps: float) -> Callable[[nn.Module], SpeedSubject]:
        def wrap(model: Any) -> SpeedSubject:
            model.set_target_bandwidth(kbps)
            parts = (model.encoder, model.decoder)
            name = f"EnCodec 24 kHz, {kbps:g} kbps"
            return SpeedSubject(name, 24000, kbps, count_module_parameters(*parts), model.encode, model.decode, parts)

        return wrap

    return [_folded(encodec_24k, at(6.0)), _folded(encodec_24k, at(24.0))]


def dac_24k() -> nn.Module:
    """Build DAC at 24 kHz (R. Kumar et al., 2023) with random weights.

    Returns:
        The model of the package ``descript-audio-codec``.
    """
    model: nn.Module = import_peer("dac.model").DAC(
        encoder_rates=[2, 4, 5, 8], decoder_rates=[8, 5, 4, 2], n_codebooks=32, sample_rate=24000
    )
    return model


def _dac() -> list[SpeedSubject]:
    def wrap(model: Any) -> SpeedSubject:
        def encode(wave: Tensor) -> Tensor:
            codes: Tensor = model.encode(model.preprocess(wave, model.sample_rate))[1]
            return codes

        def decode(codes: Tensor) -> Tensor:
            wave: Tensor = model.decode(model.quantizer.from_codes(codes)[0])
            return wave

        parts = (model.encoder, model.decoder)
        return SpeedSubject("DAC 24 kHz", 24000, 24.0, count_module_parameters(model), encode, decode, parts)

    return [_folded(dac_24k, wrap)]


def _snac() -> list[SpeedSubject]:
    def build() -> nn.Module:
        model: nn.Module = import_peer("snac").SNAC(
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

    def wrap(model: Any) -> SpeedSubject:
        parts = (model.encoder, model.decoder)
        return SpeedSubject(
            "SNAC 24 kHz", 24000, 0.98, count_module_parameters(model), model.encode, model.decode, parts
        )

    return [_folded(build, wrap)]


def _mimi() -> list[SpeedSubject]:
    def build() -> nn.Module:
        model: nn.Module = import_peer("moshi.models").loaders.get_mimi(None, device="cpu", num_codebooks=32)
        fill_codebooks(model)
        return model

    def wrap(model: Any) -> SpeedSubject:
        parts = (model.encoder, model.decoder)
        return SpeedSubject(
            "Mimi 24 kHz", 24000, 4.4, count_module_parameters(model), model.encode, model.decode, parts
        )

    return [_folded(build, wrap)]


def _vocos() -> list[SpeedSubject]:
    def build() -> nn.Module:
        features = import_peer("vocos.feature_extractors").MelSpectrogramFeatures(24000, 1024, 256, 100, "center")
        backbone = import_peer("vocos.models").VocosBackbone(100, 512, 1536, 8)
        head = import_peer("vocos.heads").ISTFTHead(512, 1024, 256, "center")
        model: nn.Module = import_peer("vocos.pretrained").Vocos(features, backbone, head)
        return model

    def wrap(model: Any) -> SpeedSubject:
        def encode(wave: Tensor) -> Tensor:
            mel: Tensor = model.feature_extractor(wave[:, 0])
            return mel

        name = "Vocos 24 kHz (mel to wave, no codes)"
        return SpeedSubject(name, 24000, 0.0, count_module_parameters(model), encode, model.decode, (model.backbone,))

    return [_folded(build, wrap)]


PACKAGES: dict[str, tuple[str, Callable[[], list[SpeedSubject]]]] = {
    "encodec": ("encodec", _encodec),
    "descript-audio-codec": ("dac", _dac),
    "snac": ("snac", _snac),
    "moshi": ("moshi", _mimi),
    "vocos": ("vocos", _vocos),
}
"""Name for pip, to the module, and the function that builds its architectures."""
