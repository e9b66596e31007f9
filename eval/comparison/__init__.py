"""``codec compare``: several codecs that are trained on the same data with the same budget."""
