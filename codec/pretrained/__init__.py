"""Trained models: their files, their names, and the built-in ones, each in a folder of its name."""

DEFAULT_MODEL = "speech_16k_v2"
"""Name of the model that encodes unless another is named."""
