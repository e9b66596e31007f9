"""Measure codecs: quality, bit rate and speed; compare and search them; diagnose their training; write reports."""
