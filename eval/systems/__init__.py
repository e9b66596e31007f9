"""The codecs that are evaluated: our models, conventional codecs, audio decoded elsewhere, and peers."""
