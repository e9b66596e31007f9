"""Measurements of speed, latency, memory, bits and equivalence; docs/results/README.md lists the commands."""
