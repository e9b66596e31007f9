"""What the processes that tests start have imported, see :mod:`tests.helpers.children`.

A search for garbage leaves it out: it would copy this memory into each of the processes.
"""

import gc

import jsonargparse  # noqa: F401
import librosa.filters  # noqa: F401
import s3fs  # noqa: F401  # Lightning imports it when a training begins
import torch.utils.tensorboard  # noqa: F401

import codec.training.trainer  # noqa: F401
import eval.search.run  # noqa: F401
import tests.conftest  # noqa: F401

gc.freeze()
