"""transformers imports torchaudio where it is installed."""

import eval.systems.torchaudio_compat  # noqa: F401
