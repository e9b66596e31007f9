"""A codec as a model of transformers.

It differs from ``EncodecModel`` in this: without ``bandwidth`` all codebooks are used; ``audio_scales`` may be left
out, since nothing is normalised; an item has one channel; and nothing has gradients, since it is a codec in use, which
``codec train`` trains.
"""

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_utils import PreTrainedAudioTokenizerBase
from transformers.models.encodec.modeling_encodec import EncodecDecoderOutput, EncodecEncoderOutput, EncodecOutput

from codec.array_checks import check_codes
from codec.model.codec import Codec
from codec.pretrained.checkpoint import load_codec
from codec.pretrained.folder_writer import save_pretrained
from codec.pretrained.hub import SCHEME
from codec.pretrained.loaded_model import LoadedModel
from codec.pretrained.model_folder import model_folder
from codec.pretrained.registry import find_model, pretrained_name
from codec.transformers.configuration import LatheConfig

_FROM_AUTO = {"_from_auto", "trust_remote_code", "adapter_kwargs"}
"""What ``AutoModel`` passes of its own, without effect here."""


class LatheModel(PreTrainedAudioTokenizerBase):  # type: ignore[misc]
    """A codec with the interface of ``EncodecModel``.

    Args:
        config: the architecture
        codec: the networks (default: with random weights)
    """

    config_class = LatheConfig
    base_model_prefix = "lathe"
    main_input_name = "input_values"

    def __init__(self, config: LatheConfig, codec: Codec | None = None) -> None:
        super().__init__(config)
        self.codec = (codec or Codec(config.architecture)).eval().requires_grad_(False)
        self._loaded_from = ""
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Do nothing: the networks initialise themselves."""

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *model_args: Any,
        config: LatheConfig | None = None,
        revision: str | None = None,
        device_map: Any = None,
        **kwargs: Any,
    ) -> "LatheModel":
        """Load a model.

        Args:
            pretrained_model_name_or_path: name of a built-in model, a folder, or ``OWNER/NAME`` of the Hugging Face Hub
            *model_args: there must be none
            config: its configuration (default: that in the folder)
            revision: branch, tag or commit on the Hub
            device_map: a device
            **kwargs: ``dtype``, which must be float32

        Returns:
            The model, in evaluation mode.

        Raises:
            UserError: no such model, or it is damaged.
            TypeError: an option that has no meaning here.
        """
        dtypes = [kwargs.pop(name, None) for name in ("dtype", "torch_dtype")]
        if any(dtype not in (None, "auto", "float32", torch.float32) for dtype in dtypes):
            raise TypeError("this model computes in float32; codec.load(dtype=…) has decoders of other types")
        if unknown := sorted({*kwargs} - _FROM_AUTO):
            raise TypeError(
                f"no such option as {', '.join(unknown)}; the variables HF_HOME, HF_TOKEN and HF_HUB_OFFLINE set the"
                " cache, the token and whether to stay offline"
            )
        name = pretrained_name(str(pretrained_model_name_or_path))
        place = find_model(pretrained_name(name, revision) if name.startswith(SCHEME) else name)
        model = cls(config or LatheConfig.from_pretrained(model_folder(place)), load_codec(place)).eval()
        model._loaded_from = model.name_or_path = str(place)
        return model.to(device_map) if isinstance(device_map, (str, torch.device)) else model

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Write the model as a folder that this class, ``AutoModel`` and ``codec.load`` read.

        Args:
            save_directory: folder to write; a model in it is replaced
            **kwargs: there must be none

        Raises:
            UserError: the folder cannot be written.
            TypeError: an option that has no meaning here.
        """
        if kwargs:
            raise TypeError(f"no such option as {', '.join(kwargs)}; hf upload OWNER/NAME FOLDER uploads a folder")
        save_pretrained(LoadedModel(self.codec, self._loaded_from), Path(save_directory))

    def encode(
        self,
        input_values: Tensor,
        padding_mask: Tensor | None = None,
        bandwidth: float | None = None,
        return_dict: bool | None = None,
    ) -> EncodecEncoderOutput | tuple[Tensor, list[None], int]:
        """Encode audio.

        The first codes of an item, as many frames as its own samples have, are those that it gets alone.

        Args:
            input_values: ``[batch, 1, samples]``
            padding_mask: ``[batch, samples]`` or ``[batch, 1, samples]``, 0 or False for padding, which is at the end
            bandwidth: one of ``config.target_bandwidths``, which sets the number of codebooks (default: all)
            return_dict: False: return a tuple

        Returns:
            ``audio_codes`` ``[1, batch, codebooks, frames]``, ``audio_scales`` ``[None]``, and
            ``last_frame_pad_length`` 0.

        Raises:
            ValueError: another number of channels, or no such bandwidth.
        """
        bandwidths = self.config.target_bandwidths
        if bandwidth is not None and bandwidth not in bandwidths:
            raise ValueError(f"This model doesn't support the bandwidth {bandwidth}. Select one of {bandwidths}.")
        if input_values.ndim != 3 or input_values.shape[1] != 1:
            raise ValueError(
                f"expected input_values [batch, 1, samples], not {list(input_values.shape)}; give channels as items"
            )
        if padding_mask is not None:
            input_values = input_values * padding_mask.view(len(padding_mask), -1, padding_mask.shape[-1]).bool()
        codes = self.codec.encode(input_values, bandwidths.index(bandwidth) + 1 if bandwidth is not None else None)
        if not self._returns_dict(return_dict):
            return codes[None], [None], 0
        return EncodecEncoderOutput(codes[None], [None], 0)

    def decode(
        self,
        audio_codes: Tensor,
        audio_scales: Any = None,
        padding_mask: Tensor | None = None,
        return_dict: bool | None = None,
        last_frame_pad_length: int | None = 0,
    ) -> EncodecDecoderOutput | tuple[Tensor]:
        """Decode codes.

        Args:
            audio_codes: ``[1, batch, codebooks, frames]``; -1 stands for a missing code
            audio_scales: not used
            padding_mask: mask whose length is that of the audio, to which the result is cut
            return_dict: False: return a tuple
            last_frame_pad_length: frames to leave out at the end

        Returns:
            ``audio_values`` ``[batch, 1, samples]``.

        Raises:
            ValueError: not such codes.
        """
        if len(audio_codes) != 1:
            raise ValueError(f"Expected one frame, got {len(audio_codes)}")
        codes = audio_codes[0][..., : audio_codes.shape[-1] - (last_frame_pad_length or 0)]
        check_codes(codes.cpu().numpy(), self.config.num_quantizers, self.config.codebook_size, len(codes))
        values = self.codec.decode(codes)
        if padding_mask is not None and padding_mask.shape[-1] < values.shape[-1]:
            values = values[..., : padding_mask.shape[-1]]
        return EncodecDecoderOutput(values) if self._returns_dict(return_dict) else (values,)

    def forward(
        self,
        input_values: Tensor,
        padding_mask: Tensor | None = None,
        bandwidth: float | None = None,
        audio_codes: Tensor | None = None,
        audio_scales: Any = None,
        return_dict: bool | None = None,
        last_frame_pad_length: int | None = 0,
    ) -> EncodecOutput | tuple[Tensor, Tensor]:
        """Encode audio and decode it, or decode codes.

        Args:
            input_values: as for :meth:`encode`
            padding_mask: as for :meth:`encode`
            bandwidth: as for :meth:`encode`
            audio_codes: codes to decode in place of those of the audio
            audio_scales: not used
            return_dict: False: return a tuple
            last_frame_pad_length: as for :meth:`decode`

        Returns:
            ``audio_codes``, and ``audio_values`` ``[batch, 1, samples]`` as long as the audio.

        Raises:
            ValueError: as :meth:`encode` and :meth:`decode`.
        """
        if padding_mask is None:
            padding_mask = torch.ones_like(input_values, dtype=torch.bool)
        if audio_codes is None:
            audio_codes, audio_scales, last_frame_pad_length = self.encode(input_values, padding_mask, bandwidth, False)
        (values,) = self.decode(audio_codes, audio_scales, padding_mask, False, last_frame_pad_length)
        if not self._returns_dict(return_dict):
            return audio_codes, values
        return EncodecOutput(audio_codes=audio_codes, audio_values=values)

    def _returns_dict(self, return_dict: bool | None) -> bool:
        return bool(self.config.return_dict if return_dict is None else return_dict)
