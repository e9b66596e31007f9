"""Settings of a recipe: dataclasses with defaults and units in the names.

A recipe is a YAML file with the fields of :class:`Recipe`; :mod:`codec.recipe` reads it and checks names and types.
Every dataclass checks its values when it is made (:mod:`codec.config.ranges`). The names of the fields are the keys of
recipes and of stored models, and must not change. Nothing here needs torch.
"""

from codec.config.data import AugmentConfig, DataConfig, TargetConfig
from codec.config.model import CodecConfig, NetworkConfig, QuantizerConfig
from codec.config.training import AdversarialConfig, OptimConfig, Recipe, TrainConfig

__all__ = [
    "AdversarialConfig",
    "AugmentConfig",
    "CodecConfig",
    "DataConfig",
    "NetworkConfig",
    "OptimConfig",
    "QuantizerConfig",
    "Recipe",
    "TargetConfig",
    "TrainConfig",
]
