"""What is used where nothing is asked for; apart, so that the command line starts without loading the library."""

DEFAULT_MODEL = "speech_16k_v2"
"""The built-in model that codes."""
