"""One file or stream at a time: audio to ``.nac`` files, pipes and tokens, and back."""
