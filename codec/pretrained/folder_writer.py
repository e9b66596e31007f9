"""What the folder of a model that is passed on holds beside the model, and the writing of such a folder."""

import json
import re
import shutil
from pathlib import Path

from codec.errors import UserError
from codec.pretrained.checkpoint import fingerprint, save_model
from codec.pretrained.loaded_model import LoadedModel
from codec.pretrained.model_card import CARD_FILE, write_model_card
from codec.pretrained.model_folder import model_folder, read_codec_config, read_fingerprints, read_training_info
from codec.pretrained.registry import find_model
from codec.runtime.atomic_files import write_text
from codec.training.provenance import TRAINED_CLIPS_FILE

FEATURE_EXTRACTOR_FILE = "preprocessor_config.json"
"""File that tells transformers how to make batches, see :mod:`codec.transformers`."""


def save_pretrained(model: LoadedModel, folder: Path) -> None:
    """Write a model as it is, with its model card.

    Args:
        model: the model; if it came from a folder, what is known of its training is copied
        folder: folder to write; a model in it is replaced

    Raises:
        UserError: the decoder computes in another type than float32, or the folder cannot be written.
    """
    network = model.network
    if fingerprint(network) != model.fingerprint:
        raise UserError("the weights of this decoder were converted; save the model that is loaded with dtype float32")
    source = _source(model)
    info = read_training_info(source) if source else {}
    try:
        save_model(folder, network, info)
        write_companions(folder, folder.resolve().name, source)
    except OSError as error:
        raise UserError(f"{folder}: cannot write ({error.strerror})") from error


def _source(model: LoadedModel) -> Path | None:
    """Return the folder that the model came from, if it still holds this model."""
    try:
        place = find_model(model.name)
        return place if read_fingerprints(place)[0] == model.fingerprint else None
    except UserError:
        return None


def _keep_links_to(folder: Path, card: str) -> str:
    """Leave only the text of links to files that are not in the folder, such as those of a repository."""

    def rewritten(link: re.Match[str]) -> str:
        text, target = link.groups()
        found = "://" in target or target.startswith("#") or (".." not in target and (folder / target).exists())
        return link[0] if found else text

    return re.sub(r"\[([^\]]*)\]\(([^)\s]+)\)", rewritten, card)


def write_companions(folder: Path, name: str, source: Path | None) -> None:
    """Write what stands beside a model: model card, recipe, curves, training clips, and how to make batches.

    Args:
        folder: folder of the model
        name: title of a new card
        source: the folder of the run or model from which to copy what is known; the text of its card stays

    Raises:
        OSError: a file cannot be written.
        UserError: no model there, or damaged.
    """
    if source and model_folder(source).resolve() != folder.resolve():
        for file in ("recipe.yaml", "metrics.csv", TRAINED_CLIPS_FILE):
            if (source / file).is_file():
                shutil.copyfile(source / file, folder / file)
        if (known := model_folder(source) / CARD_FILE).is_file():
            shutil.copyfile(known, folder / CARD_FILE)
    card = write_model_card(folder, name)
    write_text(card, _keep_links_to(folder, card.read_text(encoding="utf-8")))
    extractor = {
        "feature_extractor_type": "EncodecFeatureExtractor",
        "feature_size": 1,
        "sampling_rate": read_codec_config(folder).sample_rate,
        "padding_value": 0.0,
        "padding_side": "right",
        "return_attention_mask": True,
    }
    write_text(folder / FEATURE_EXTRACTOR_FILE, json.dumps(extractor, indent=1) + "\n")
