"""A model that is ready to code: its networks, and values derived from them, computed once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import RLock
from typing import TYPE_CHECKING, Any

from codec.errors import UserError

if TYPE_CHECKING:
    from codec.bitstream.range_coder import RangeCoder
    from codec.config import CodecConfig
    from codec.model.backend import BlockStep
    from codec.model.codec import Codec
    from codec.model.streaming import StreamDecoder, StreamEncoder, StreamingCodec


class LoadedModel:
    """A codec's networks together with its name, fingerprint, range coder and expected bit rates.

    The fingerprint, the range coder, the bit rates and the steps of streams are computed when they are first asked for,
    once even if several threads ask. They follow from the weights, which therefore must not change afterwards. An
    object can be pickled; the process that receives it makes a range coder of its own.

    Args:
        codec: the networks, in evaluation mode, on the device that computes; or their graphs for ONNX Runtime
        name: name of the model in messages, such as ``speech_16k_v2`` or the path of its folder
        fingerprint: fingerprint of the codec, if it is known
    """

    def __init__(self, codec: StreamingCodec, name: str = "", fingerprint: str | None = None) -> None:
        self.codec = codec
        self.name = name
        self._fingerprint = fingerprint
        self._coder: RangeCoder | None = None
        self._expected_kbps: dict[int, list[float]] = {}
        self._steps: dict[Hashable, BlockStep] = {}
        self._lock = RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {"codec": self.codec, "name": self.name, "_fingerprint": self._fingerprint}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["codec"], state["name"], state["_fingerprint"])  # type: ignore[misc]

    def to(self, device: str) -> None:
        """Move the networks.

        Args:
            device: device that computes from now on

        Raises:
            UserError: it cannot be used.
        """
        from codec.pretrained.registry import check_device

        check_device(device)
        self.network.to(device)
        self._steps.clear()

    def set_decoder_dtype(self, dtype: str) -> None:
        """Make the decoder compute in another type; see :func:`codec.model.decoder_precision.set_decoder_dtype`.

        Args:
            dtype: one of :data:`codec.model.decoder_dtypes.DTYPES`

        Raises:
            UserError: no such type, or the device cannot compute in it.
        """
        if dtype == "float32":
            return
        _ = self.fingerprint  # that of the weights as they are now
        from codec.model.decoder_precision import set_decoder_dtype

        set_decoder_dtype(self.network, dtype)
        self._steps.clear()

    def stream_encoder(
        self, streams: int, codebooks: int | None = None, block: int | None = None, quantize: bool = True
    ) -> StreamEncoder:
        """Return an encoder for streams; see :meth:`codec.model.streaming.StreamingCodec.stream_encoder`.

        Args:
            streams: number of streams
            codebooks: number of codebooks to use (default: all)
            block: number of latent frames that are computed at once (default: a canonical block)
            quantize: whether to return codes; otherwise continuous latents

        Returns:
            The encoder, in its initial state.

        Raises:
            UserError: The model does not have this number of codebooks.
        """
        from codec.model.streaming import BLOCK, StreamEncoder

        block = block or BLOCK
        step = self._step(self.codec.encoding_step, codebooks, block, quantize)
        return StreamEncoder(self.config, step, streams, block)

    def stream_decoder(self, streams: int, block: int | None = None, quantized: bool = True) -> StreamDecoder:
        """Return a decoder for streams; see :meth:`codec.model.streaming.StreamingCodec.stream_decoder`.

        Args:
            streams: number of streams
            block: number of latent frames that are computed at once (default: a canonical block)
            quantized: whether the input is codes; otherwise continuous latents

        Returns:
            The decoder, in its initial state.
        """
        from codec.model.streaming import BLOCK, StreamDecoder

        block = block or BLOCK
        step = self._step(self.codec.decoding_step, block, quantized)
        return StreamDecoder(self.config, step, streams, block)

    def _step(self, make: Callable[..., BlockStep], *settings: Hashable) -> BlockStep:
        """Return what ``make`` returns for the settings, made once."""
        key = make, settings
        with self._lock:
            if key not in self._steps:
                self._steps[key] = make(*settings)
            return self._steps[key]

    @property
    def network(self) -> Codec:
        """The networks in PyTorch.

        Raises:
            UserError: there are only graphs for ONNX Runtime.
        """
        from codec.model.codec import Codec

        if not isinstance(self.codec, Codec):
            raise UserError("the graphs of the device onnx compute on the CPU, in float32; take another device")
        return self.codec

    @property
    def config(self) -> CodecConfig:
        """The architecture."""
        return self.codec.config

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name the decoder, stored in each file that the model encodes."""
        with self._lock:
            if self._fingerprint is None:
                from codec.pretrained.checkpoint import fingerprint

                self._fingerprint = fingerprint(self.network)
            return self._fingerprint

    @property
    def compatible_fingerprints(self) -> tuple[str, ...]:
        """The model's own fingerprint, then those of other models whose codes it decodes as well."""
        return (self.fingerprint, *self.codec.compatible_fingerprints)

    @property
    def coder(self) -> RangeCoder:
        """The range coder with the model's frequency tables."""
        with self._lock:
            if self._coder is None:
                from codec.bitstream.range_coder import RangeCoder

                self._coder = RangeCoder(self.codec.code_tables())
            return self._coder

    @property
    def n_codebooks(self) -> int:
        """Number of codebooks, and of codes per frame at the highest bit rate."""
        return self.config.quantizer.codebooks

    @property
    def codebook_size(self) -> int:
        """Number of entries in each codebook; codes are from 0 to one less."""
        return self.config.quantizer.size

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz at which the networks work."""
        return self.config.sample_rate

    @property
    def frame_rate_hz(self) -> float:
        """Latent frames per second."""
        return self.config.frame_rate_hz

    @property
    def has_variable_rate(self) -> bool:
        """Whether frames may have different numbers of codes: the frequency tables have context classes."""
        return self.config.quantizer.contexts > 1

    def expected_kbps(self, channels: int) -> list[float]:
        """Estimate the bit rate of a file with 1, 2, … codebooks.

        Counts the packets around the payloads, and half a word per packet that range coding loses at its end; not the
        header, which matters only in short files.

        Args:
            channels: number of channels of the file

        Returns:
            One bit rate in kbit/s, all channels together, for each number of codebooks, if codes occur as often as the
            frequency tables predict.
        """
        with self._lock:
            if channels not in self._expected_kbps:
                from codec.coding.bit_rate import expected_bits, expected_kbps

                tables = self.codec.code_tables()
                frequencies = tables.frequencies[:, 0] if tables.shares is None else tables.frequencies
                bits = expected_bits(frequencies, tables.shares)
                self._expected_kbps[channels] = expected_kbps(bits, self.frame_rate_hz, channels)
            return self._expected_kbps[channels]
