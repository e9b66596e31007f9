"""The metrics of decoded audio, their registry, and the statistics of their means."""
