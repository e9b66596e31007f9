"""Blind listening tests with people: exported from an evaluation as one page, and read back with intervals."""
