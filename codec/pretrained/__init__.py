"""Trained models: their files, their names, and the built-in ones, each in a folder of its name."""
