"""Training data: packed audio, the sealed test split, and the records of its use."""
