"""Lathe: neural audio codecs, trained, tested and used."""
