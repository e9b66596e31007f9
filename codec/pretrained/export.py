"""Export of trained models: smaller files for archiving and distribution, and ONNX graphs."""

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from codec.errors import UserError
from codec.model.codec import Codec
from codec.model.convnext import is_skip_path
from codec.model.exact_decoder import ExactDecodeBlock
from codec.model.quantizers.fused import FusedVQ, SingleFrameVQ
from codec.model.quantizers.nearest import FEW_POINTS
from codec.model.torch_backend import DecodeBlock, EncodeBlock, TensorStep
from codec.pretrained.checkpoint import load_codec, save_model
from codec.pretrained.compact_graphs import write_compact_decoders
from codec.pretrained.folder_writer import write_companions
from codec.pretrained.frame_graphs import store_blocks_as_int8
from codec.pretrained.graph_writer import write_graph
from codec.pretrained.model_folder import read_training_info
from codec.pretrained.onnx_backend import DECODER, ENCODER, decoder_graph, frame_graph
from codec.pretrained.onnx_constants import write_constants
from codec.runtime.atomic_files import remove_abandoned_parts, replacing
from codec.runtime.extras import require_installed
from codec.runtime.progress import ProgressBar

MAX_DIMENSION = 1 << 16
"""Maximum number of frames in a block, and of streams, that a graph computes."""


@dataclass(frozen=True)
class GraphOptions:
    """Which ONNX graphs are written besides those for blocks of any size in float32."""

    exact: bool = False
    """Whether the graph of the decoder is that of :mod:`codec.model.exact_decoder`."""
    dtypes: tuple[str, ...] = ()
    """Types of further graphs of the decoder, see :mod:`codec.pretrained.compact_graphs`."""
    single_frames: bool = False
    """Whether there are graphs for single frames of one stream, too, which take less time: of the encoder, and of the
    decoder in float32 and in int8, if that is one of the types."""


@torch.no_grad()
def export_model(source: Path, folder: Path, graphs: GraphOptions | None = None) -> Codec:
    """Export a model with its networks in half precision, which halves their size.

    The result is another model, with a fingerprint of its own, since its rounded decoder does not give bit for bit the
    same waveform. The recipe and curves of a run, the list of its training clips and the text of the model card are
    copied; the figures in the card are those of the exported model.

    Args:
        source: the folder of a run or model
        folder: folder to create; if it exists, it must be empty and not the current one
        graphs: which ONNX graphs to write, see :func:`export_graphs` (default: none)

    Returns:
        The exported model.

    Raises:
        UserError: no model there, or it is damaged; ``folder`` is not empty or cannot be written; no ONNX exporter is
            installed; the model has no exact decoder. Nothing is left at ``folder`` then.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: exists and is not an empty folder; choose another --out")
    if folder.resolve() == Path.cwd():
        raise UserError(f"{folder}: this is the current folder, which cannot be replaced; choose another --out")
    codec, info = load_codec(source), read_training_info(source)
    for name, weight in codec.named_parameters():
        if not is_skip_path(name):
            weight.copy_(weight.half())
    remove_abandoned_parts(folder.parent, {folder.name})
    try:
        with replacing(folder) as part:
            if graphs:
                export_graphs(codec, part, info, torch.float16, graphs)
            else:
                save_model(part, codec, info, torch.float16)
            write_companions(part, folder.resolve().name, source)
    except OSError as error:
        raise UserError(f"{folder}: cannot write ({error.strerror})") from error
    return codec


def export_graphs(
    codec: Codec,
    folder: Path,
    info: dict[str, Any],
    stored: torch.dtype = torch.float32,
    graphs: GraphOptions = GraphOptions(),
) -> None:
    """Write a model together with its ONNX graphs for :mod:`codec.pretrained.onnx_backend`.

    The graphs compute in float32, but for that of an exact decoder. ``config.json`` names them by their SHA-256. Beside
    them are the constants and tables of :mod:`codec.pretrained.onnx_constants`.

    Args:
        codec: the model
        folder: folder to write; it is created if it is missing
        info: about its training, see :func:`codec.pretrained.checkpoint.save_model`
        stored: data type of the stored weights of the networks
        graphs: which graphs to write

    Raises:
        UserError: no ONNX exporter is installed, the files cannot be written, or the model has no exact decoder.
    """
    require_installed("writing ONNX graphs", "onnx", modules=["onnx", "onnxscript"])
    folder.mkdir(parents=True, exist_ok=True)
    config = codec.config
    wave = torch.zeros(2, FEW_POINTS * config.latent_hop)
    codes = torch.zeros(2, config.quantizer.codebooks, FEW_POINTS, dtype=torch.int64)
    streams = torch.export.Dim("streams", max=MAX_DIMENSION)
    frames = torch.export.Dim("frames", min=FEW_POINTS, max=MAX_DIMENSION)
    fused, count = codec.quantizer.fused(), config.quantizer.codebooks
    encode = EncodeBlock(codec, count, True, fused)
    decode = ExactDecodeBlock(codec) if graphs.exact else DecodeBlock(codec, True, codec.quantizer.compact())
    planned: list[tuple[str, TensorStep, Tensor, dict[int, Any] | None]] = [
        (ENCODER, encode, wave, {0: streams, 1: config.latent_hop * frames}),
        (DECODER, decode, codes, {0: streams, 2: frames}),
    ]
    if graphs.single_frames:
        encode_frame = replace(encode, quantizer=SingleFrameVQ(fused) if isinstance(fused, FusedVQ) else fused)
        planned.append((frame_graph(ENCODER), encode_frame, wave[:1, : config.latent_hop], None))
        planned.append((frame_graph(DECODER), decode, codes[:1, :, :1], None))
    for name, step, block, sizes in ProgressBar(planned, desc="export", unit="graph"):
        block_name, outputs = ("wave", ["codes", "need"]) if isinstance(step, EncodeBlock) else ("codes", ["wave"])
        write_graph(step, block, sizes, block_name, outputs, folder / name)
    written = [name for name, *_ in planned]
    written += write_compact_decoders(folder, config, graphs.dtypes)
    if graphs.single_frames and "int8" in graphs.dtypes:
        written.append(frame_graph(decoder_graph("int8")))
        store_blocks_as_int8(folder / frame_graph(DECODER), config.decoder, folder / written[-1])
    digests = {name: sha256((folder / name).read_bytes()).hexdigest() for name in written}
    write_constants(codec, folder, {ENCODER: encode, DECODER: decode})
    save_model(folder, codec, info, stored, digests)
