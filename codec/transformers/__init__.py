"""Codecs as models of ``transformers``, with the calls, shapes and padding of its ``EncodecModel``.

Importing this module registers the classes, so that ``AutoConfig``, ``AutoModel`` and ``AutoFeatureExtractor`` read the
folders that ``codec export`` and ``save_pretrained`` write. Batches are made by ``EncodecFeatureExtractor``, as for
Mimi.
"""

from codec.runtime.extras import require_installed

require_installed("codec.transformers", "transformers")

from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, EncodecFeatureExtractor  # noqa: E402

from codec.transformers.configuration import LatheConfig  # noqa: E402
from codec.transformers.modeling import LatheModel  # noqa: E402

__all__ = ["LatheConfig", "LatheModel"]

AutoConfig.register(LatheConfig.model_type, LatheConfig, exist_ok=True)
AutoModel.register(LatheConfig, LatheModel, exist_ok=True)
AutoFeatureExtractor.register(LatheConfig, EncodecFeatureExtractor, exist_ok=True)
