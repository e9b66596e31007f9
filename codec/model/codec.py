"""The codec: MDCT, encoder, quantizer, decoder and inverse MDCT, for mono streams.

Training runs the layers over a crop as one block; inference runs the same layers block by block and passes their state
on, see :mod:`codec.model.streaming`.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from codec.bitstream.tables import CodeTables
from codec.config import CodecConfig
from codec.model.backend import InferenceBackend
from codec.model.band_extension import extend_band, has_wider_band
from codec.model.codec_base import CodecBase, CodecOutput
from codec.model.convnext import Stack, StreamState
from codec.model.frequency_tables import FrequencyTables
from codec.model.mdct import MDCT
from codec.model.power_law import compress, expand
from codec.model.processes import Processes
from codec.model.quantizers import Quantizer, build_quantizer
from codec.model.streaming import StreamingCodec
from codec.model.torch_backend import TorchBackend
from codec.model.widening import widen

MIN_RELATIVE_SCALE = 0.02
"""Minimum scale of a coefficient relative to all, so that coefficients without energy in the data are not divided by
zero."""

_FITTING_BATCH = 64


class Codec(CodecBase, StreamingCodec):
    """A neural audio codec for mono streams; :mod:`codec.audio.channels` turns channels into streams.

    The buffer ``spread`` is the scale (standard deviation) of each compressed coefficient. Inputs and outputs of the
    networks are relative to it, so that a step of training moves quiet high frequencies as much as loud low ones.

    Args:
        config: architecture
    """

    spread: Tensor
    encoder: Stack
    quantizer: Quantizer
    decoder: Stack

    def __init__(self, config: CodecConfig):
        super().__init__()
        self.config = config
        self.backend: InferenceBackend | None = None
        """Backend that computes streams of codes instead of the layers, if set."""
        hop = config.latent_hop
        self.mdct = MDCT(config.hop)
        self.register_buffer("spread", torch.ones(hop))
        self.encoder = Stack(hop, config.quantizer.dimension, config.encoder)
        self.quantizer = build_quantizer(config.quantizer)
        self.decoder = Stack(config.quantizer.dimension, hop, config.decoder)
        self.tables = FrequencyTables(config.quantizer.codebooks, config.quantizer.size, config.quantizer.contexts)

    @torch.no_grad()
    def initialise(self, waveform: Tensor, generator: torch.Generator) -> None:
        """Make the untrained codec a transform codec fitted to audio.

        The linear skip paths become the Karhunen-Loève transform of the compressed MDCT coefficients, cut to the
        dimension of the latent, and its inverse; what the blocks add to them starts at zero. Codebooks start from
        k-means. So training has to learn only what a linear transform cannot do.

        Args:
            waveform: some minutes of audio ``[batch, 1, samples]``
            generator: source of random numbers, on the CPU
        """
        self.spread.fill_(1)
        spectrum = self.spectrum(self._whole_frames(waveform))
        coefficients = spectrum.flatten(0, 1).double()
        power, directions = torch.linalg.eigh(coefficients.T @ coefficients / len(coefficients))
        count = min(self.config.quantizer.dimension, len(power))
        scale = self.quantizer.direction_scales(power.flip(0)[:count].clamp(min=1e-8))
        directions = directions.flip(1)[:, :count]
        least = MIN_RELATIVE_SCALE**2 * power.mean()
        self.spread.copy_(coefficients.square().mean(0).clamp(min=least).sqrt())
        for stack in (self.encoder, self.decoder):
            stack.direct.zero_()
            stack.last.weight.zero_()
            stack.last.bias.zero_()
        self.encoder.direct[:count] = (directions / scale).T.float() * self.spread
        self.decoder.direct[:, :count] = (directions * scale).float() / self.spread[:, None]
        self.quantizer.initialise(spectrum / self.spread @ self.encoder.direct.T, generator)

    def can_grow_from(self, other: "Codec") -> bool:
        """Determine whether this codec differs from another only in having more codebooks, latent dimensions or band.

        Args:
            other: the other codec

        Returns:
            Whether :meth:`grow_from` is possible.
        """

        def rest(config: CodecConfig) -> CodecConfig:
            same = replace(config.quantizer, codebooks=1, latent_dim=1, contexts=1, full_rate_share=0.0)
            if has_wider_band(self.config, config):
                config = replace(config, sample_rate=self.config.sample_rate, hop=self.config.hop)
            return replace(config, quantizer=replace(same, frame_weights="level"))

        ours, theirs = self.config.quantizer, other.config.quantizer
        return (
            ours.kind == "rvq"
            and ours.codebooks >= theirs.codebooks
            and ours.latent_dim >= theirs.latent_dim
            and (ours.frame_weights == theirs.frame_weights or theirs.frame_weights == "level")
            and rest(self.config) == rest(other.config)
        )

    @torch.no_grad()
    def grow_from(self, other: "Codec", waveform: Tensor, generator: torch.Generator) -> None:
        """Copy another codec's weights, and add a band, latent dimensions and codebooks.

        A band above that of the other codec is added by :func:`codec.model.band_extension.extend_band`. Additional
        latent dimensions are added by :func:`codec.model.widening.widen`, and all codebooks are fitted anew
        then; otherwise the additional codebooks alone, to the residual of the others. The frequency tables remain
        unchanged.

        Args:
            other: codec with no more codebooks, latent dimensions and band, see :meth:`can_grow_from`
            waveform: audio to fit codebooks to ``[batch, 1, samples]``
            generator: source of random numbers, on the CPU
        """
        if has_wider_band(self.config, other.config):
            other = extend_band(other, self.config.sample_rate, self._whole_frames(waveform))
        wider = self.config.quantizer.latent_dim > other.config.quantizer.latent_dim
        if wider:
            widen(self, other, self._whole_frames(waveform).split(_FITTING_BATCH))
        else:
            kept = {name: value for name, value in other.state_dict().items() if not name.startswith("tables.")}
            self.load_state_dict(kept, strict=False)
        self.fit_codebooks(waveform, generator, 0 if wider else other.config.quantizer.codebooks)

    @torch.no_grad()
    def fit_codebooks(self, waveform: Tensor, generator: torch.Generator, first: int = 0) -> None:
        """Fit codebooks to the latents of audio by k-means; the networks remain unchanged.

        Args:
            waveform: some minutes of audio ``[batch, 1, samples]``
            generator: source of random numbers, on the CPU
            first: first codebook to fit; those before it remain unchanged
        """
        latents = [
            self.analyse(part, self.mdct.initial_state(len(part)), self.encoder.initial_state(len(part)))[0]
            for part in self._whole_frames(waveform).split(_FITTING_BATCH)
        ]
        self.quantizer.initialise(torch.cat(latents), generator, first)

    def share_batches(self, processes: Processes) -> None:
        """Let what depends on the whole batch be combined over processes that compute a part of it each.

        Args:
            processes: those that share each training batch
        """
        self.quantizer.processes = processes

    def begin_batch(self) -> None:
        """Begin a training batch, whose parts may be computed one after the other."""
        self.quantizer.begin_batch()

    def draw_restarts(self, generator: torch.Generator) -> Tensor:
        """Draw the random numbers that :meth:`update_codebooks` needs for dead-code restarts.

        Args:
            generator: source of random numbers, on the CPU

        Returns:
            Numbers on the CPU, as many in each step.
        """
        return self.quantizer.draw_restarts(generator)

    def update_codebooks(self, restarts: Tensor, finite: Tensor) -> Tensor:
        """Update the codebooks from the last training batch (EMA and dead-code restart).

        Args:
            restarts: numbers that :meth:`draw_restarts` drew, on the device of the codec
            finite: False (scalar) if nothing is to change, because the step is skipped

        Returns:
            Number of dead-code restarts (scalar).
        """
        return self.quantizer.update_codebooks(restarts, finite)

    # --- the layers, as used by training and inference -------------------------------------------

    def analyse(self, waveform: Tensor, previous: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Compute latents.

        Args:
            waveform: ``[batch, frames * latent_hop]``
            previous: state of the MDCT
            state: state of the encoder

        Returns:
            Latents ``[batch, frames, dimension]``, and the next state of the encoder.
        """
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = self.spectrum(waveform, previous)
        return self.encoder(spectrum, state)

    def _padded(self, waveform: Tensor) -> Tensor:
        """Return ``waveform`` ``[batch, 1, samples]`` with zeros at the end, ``[batch, frames * latent_hop]``."""
        samples = waveform.shape[-1]
        missing = self.config.frames_for(samples) * self.config.latent_hop - samples
        return F.pad(waveform[:, 0], (0, missing))

    def _whole_frames(self, waveform: Tensor) -> Tensor:
        hop = self.config.latent_hop
        return waveform[:, 0, : waveform.shape[-1] // hop * hop]

    def spectrum(self, waveform: Tensor, previous: Tensor | None = None) -> Tensor:
        """Compute compressed MDCT coefficients relative to their scale.

        Args:
            waveform: ``[batch, frames * latent_hop]``
            previous: state of the MDCT (default: zeros)

        Returns:
            ``[batch, frames, latent_hop]``: the coefficients of all MDCT frames of a latent frame in one vector.
        """
        spectrum = compress(self.mdct.analysis(waveform, previous), self.config.power)
        return spectrum.reshape(waveform.shape[0], -1, self.config.latent_hop) / self.spread

    def synthesise(self, latent: Tensor, previous: Tensor, state: StreamState) -> tuple[Tensor, Tensor, StreamState]:
        """Compute waveforms.

        Args:
            latent: ``[batch, frames, dimension]``
            previous: state of the MDCT
            state: state of the decoder

        Returns:
            Waveforms ``[batch, frames * latent_hop]``, and the next states of the MDCT and of the decoder.
        """
        spectrum, state = self.decoder(latent, state)
        with torch.autocast(latent.device.type, enabled=False):
            waveform, previous = self._waveform(spectrum.float(), previous)
        return waveform, previous, state

    def _waveform(self, spectrum: Tensor, previous: Tensor) -> tuple[Tensor, Tensor]:
        """Compute waveforms from what :meth:`spectrum` gives, and the next state of the MDCT."""
        coefficients = expand(spectrum * self.spread, self.config.power)
        return self.mdct.synthesis(coefficients.reshape(spectrum.shape[0], -1, self.config.hop), previous)

    def forward(self, waveform: Tensor, codebooks: Tensor | None = None, quantize: bool = True) -> CodecOutput:
        """Encode and decode with gradients, in one block.

        Args:
            waveform: ``[batch, 1, samples]``
            codebooks: mean number of codebooks that the frames of each item use ``[batch]`` (default: all)
            quantize: whether the decoder gets quantized latents; otherwise the continuous ones, which are quantized for
                the update of the codebooks alone

        Returns:
            The decoded waveform ``[batch, 1, samples]``, and the result of the quantizer.
        """
        batch, _, samples = waveform.shape
        if codebooks is None:
            codebooks = waveform.new_full((batch,), self.config.quantizer.codebooks)
        padded = self._padded(waveform)
        latent, _ = self.analyse(padded, self.mdct.initial_state(batch), self.encoder.initial_state(batch))
        with torch.autocast(waveform.device.type, enabled=False):
            quantized = self.quantizer(latent.float(), codebooks)
            decodable = quantized.latent if quantize else self.quantizer.continuous(latent.float())
        states = self.mdct.initial_state(batch), self.decoder.initial_state(batch)
        decoded, _, _ = self.synthesise(decodable, *states)
        return CodecOutput(decoded[:, None, self.config.hop : self.config.hop + samples], quantized)

    # --- coding ----------------------------------------------------------------------------------

    def decoding_state(self) -> dict[str, Tensor]:
        """Return all weights and tables that decoding depends on.

        Returns:
            The state dict without the encoder, the weights of frames and the quantizer's statistics of training.
        """
        return {
            name: tensor
            for name, tensor in self.state_dict().items()
            if not name.startswith(("encoder.", "quantizer.weights.")) and not name.endswith(".usage")
        }

    def code_tables(self) -> CodeTables:
        """Return the tables of the range coder.

        Returns:
            The tables as NumPy arrays.
        """
        return self.tables.to_numpy()

    def inference_backend(self, quantize: bool) -> InferenceBackend:
        """Return the backend that computes streams.

        Args:
            quantize: whether these are streams of codes; otherwise of continuous latents

        Returns:
            :attr:`backend` if it is set and these are codes, otherwise the layers.
        """
        return self.backend if self.backend and quantize else TorchBackend(self, quantize)

    def encode(self, waveform: Tensor, codebooks: int | None = None) -> Tensor:
        """Encode whole waveforms.

        Args:
            waveform: ``[batch, 1, samples]`` at the model's sample rate, full scale 1
            codebooks: number of codebooks to use (default: all)

        Returns:
            Codes ``[batch, codebooks, frames]`` (int64), on the model's device.

        Raises:
            ValueError: The waveform has another shape.
            UserError: The model does not have this number of codebooks.
        """
        if waveform.ndim != 3 or waveform.shape[1] != 1:
            advice = "see codec.audio.channels.channels_to_streams"
            raise ValueError(f"expected a waveform [batch, 1, samples], got {list(waveform.shape)}; {advice}")
        stream = self.stream_encoder(len(waveform), codebooks)
        parts = [stream.push(waveform.detach().cpu().numpy()).codes, stream.flush().codes]
        return torch.from_numpy(np.concatenate(parts, 2)).to(self.spread.device)

    def round_trip(self, waveform: Tensor, codebooks: int) -> tuple[Tensor, Tensor]:
        """Encode and decode without gradients, with the same number of codebooks in each frame.

        Args:
            waveform: ``[batch, 1, samples]``
            codebooks: number of codebooks to use

        Returns:
            The decoded waveform ``[batch, 1, samples]``, and the codes ``[batch, codebooks, frames]``.
        """
        codes = self.encode(waveform, codebooks)
        return self.decode(codes, waveform.shape[-1]), codes

    @property
    def is_transform_fixed(self) -> bool:
        """True if the linear skip paths are a transform and its inverse, as :meth:`initialise` makes them."""
        projection = self.decoder.direct.detach().double() @ self.encoder.direct.detach().double()
        return torch.allclose(projection @ projection, projection, atol=1e-4)  # on the directions that are kept

    @torch.no_grad()
    def transform_round_trip(self, waveform: Tensor) -> Tensor:
        """Encode and decode with the linear skip paths alone: the Karhunen-Loève transform, cut to the dimension of the
        latent, without networks and quantizer.

        These are the paths of :meth:`initialise` unless they were trained or widened, see :attr:`is_transform_fixed`.

        Args:
            waveform: ``[batch, 1, samples]``

        Returns:
            The decoded waveform ``[batch, 1, samples]``.
        """
        batch, _, samples = waveform.shape
        spectrum = self.spectrum(self._padded(waveform), self.mdct.initial_state(batch))
        spectrum = F.linear(F.linear(spectrum, self.encoder.direct), self.decoder.direct)
        decoded, _ = self._waveform(spectrum, self.mdct.initial_state(batch))
        return decoded[:, None, self.config.hop : self.config.hop + samples]

    def decode(self, codes: Tensor, length: int | None = None) -> Tensor:
        """Decode whole streams of codes.

        Args:
            codes: ``[batch, codebooks, frames]``; some may be :data:`codec.bitstream.codes.NO_CODE`
            length: samples of the waveform, as they were before encoding (default: all that the codes cover, up to one
                latent frame more)

        Returns:
            Waveforms ``[batch, 1, length]``, on the model's device.
        """
        stream = self.stream_decoder(len(codes))
        waveform = np.concatenate([stream.push(codes.cpu().numpy()), stream.flush()], 2)[..., :length]
        return torch.from_numpy(waveform).to(self.spread.device)
