"""The codecs that are evaluated: our models, conventional codecs, decodes made elsewhere, and peers."""
