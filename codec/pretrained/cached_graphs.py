"""ONNX graphs of any model: those in its folder, or else exported once and kept in the user's cache."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from codec.pretrained.model_folder import model_folder, read_graphs, read_training_info
from codec.pretrained.onnx_backend import CONSTANTS, ENCODER, TABLES, decoder_graph
from codec.runtime.atomic_files import replacing
from codec.runtime.user_cache import cache_folder


def graphs_of(path: Path, dtype: str) -> Path:
    """Return a folder with the graphs of a model, its constants and its tables.

    Args:
        path: the folder of a model, or of a run
        dtype: type in which the decoder's weights are stored, one of :data:`codec.model.decoder_dtypes.GRAPH_DTYPES`

    Returns:
        The model's own folder if it has all of them, or one in the cache; the fingerprint is that of the model.

    Raises:
        UserError: no model there, or damaged; no ONNX exporter is installed.
    """
    folder, exported = model_folder(path), read_graphs(path)
    names = (ENCODER, decoder_graph(dtype), CONSTANTS, TABLES)
    if all((folder / name).is_file() for name in names) and {ENCODER, decoder_graph(dtype)} <= exported.digests.keys():
        return folder
    kept = cache_folder() / "graphs" / f"{exported.model_checksum}-{dtype}-{_version()}"
    if not kept.is_dir():
        from codec.pretrained.checkpoint import load_codec  # not at module level: they need PyTorch
        from codec.pretrained.export import GraphOptions, export_graphs

        kept.parent.mkdir(parents=True, exist_ok=True)
        with replacing(kept) as part:
            options = GraphOptions(dtypes=() if dtype == "float32" else (dtype,))
            export_graphs(load_codec(path), part, read_training_info(path), graphs=options)
    return kept


def _version() -> str:
    try:
        return version("lathe-codec")
    except PackageNotFoundError:
        return "source"
