"""Training of codecs: data, training step, callbacks, checkpoints, metrics and their diagnosis."""
