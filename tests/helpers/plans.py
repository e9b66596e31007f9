"""Plans of tiny searches and comparisons, which take seconds, and settings that make their scoring quick."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.tiny import TINY

TINY_SETTINGS: dict[str, Any] = {name[2:]: yaml.safe_load(value) for name, value in (word.split("=") for word in TINY)}
"""The overrides :data:`tests.helpers.tiny.TINY` as a mapping."""
SEARCH_SPACE: dict[str, Any] = {
    "codec.decoder.width": {"low": 8, "high": 24, "step": 8},
    "latent": {
        "choices": [
            {"codec.quantizer.latent_dim": dimension, "codec.quantizer.codebooks": codebooks}
            for dimension, codebooks in ((16, 3), (8, 2), (24, 4))
        ]
    },
    "train.unquantized_share": {"choices": [0.0, 0.5]},
    "optim.lr": {"low": 1e-3, "high": 3e-3, "log": True},
}
_QUICK = {
    "eval.evaluation.clip_selection.MIN_EXCERPT_S": 3.0,
    "eval.evaluation.clip_selection.MAX_EXCERPT_S": 3.2,
    "eval.evaluation.candidate_scoring.TABLE_CLIPS": 2,
    "eval.search.cost.TIMING_ROUNDS": 2,
    "eval.search.cost.TIMED_SECONDS": 0.5,
}


def make_searches_quick(patch: pytest.MonkeyPatch) -> None:
    """Score short excerpts, fit tables on few clips and time few rounds."""
    for name, value in _QUICK.items():
        patch.setattr(name, value)


def _write(path: Path, content: dict[str, object]) -> str:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return str(path)


def write_search_plan(folder: Path, **changes: object) -> str:
    """Write a plan that searches recipes, two candidates of each sampler, and the recipe that it starts from."""
    quantizer = {"codebooks": 3, "latent_dim": 16}
    recipe = {
        "codec": {"hop": 320, "frames_per_latent": 1, "decoder": {"width": 16}, "quantizer": quantizer},
        "losses": {"l1": 20.0, "mel": 1.0},
        "optim": {"lr": 2.0e-3},
        "train": {"mel_scales": 1},
    }
    searched = {*SEARCH_SPACE, *SEARCH_SPACE["latent"]["choices"][0]}
    plan = {
        "title": "Tiny",
        "recipe": _write(folder / "base.yaml", recipe),
        "settings": {name: value for name, value in TINY_SETTINGS.items() if name not in searched},
        "space": SEARCH_SPACE,
        "steps": 2,
        "candidates": 2,
        "population": 2,
        "clips": 3,
    }
    return _write(folder / "plan.yaml", {**plan, **changes})


def write_operating_plan(folder: Path, model: Path, **changes: object) -> str:
    """Write a plan that searches operating points of a model with three codebooks."""
    space = {
        "codebooks": {"low": 1, "high": 3},
        "threads": {"choices": [1, 2]},
        "runtime": {"choices": ["eager", "onnx"]},
        "packet_s": {"choices": [0.1, 2.0]},
    }
    plan = {"kind": "operating", "model": str(model), "space": space, "clips": 3, "metric": "mel"}
    return _write(folder / "plan.yaml", {**plan, "starts": [{"runtime": "onnx"}], **changes})


def write_comparison_plan(folder: Path, **changes: object) -> str:
    """Write a plan that compares two codecs, the second with two seeds."""
    plan = {
        "title": "Two of ours",
        "recipe": "quickstart",
        "steps": 6,
        "clips": 3,
        "validations": 2,
        "kbps": [0.6, 0.2],
        "settings": TINY_SETTINGS | {"codec.quantizer.contexts": 1},
        "candidates": {
            "ours": {},
            "no power law": {"settings": {"codec.power": 1.0, "losses": {"l1": 1.0}}, "seeds": [0, 1]},
        },
    }
    return _write(folder / "plan.yaml", {**plan, **changes})
