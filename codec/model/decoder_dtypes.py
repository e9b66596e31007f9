"""Names of the data types that a decoder computes in; :mod:`codec.model.decoder_precision` makes it do so."""

DTYPES = ("float32", "float16", "bfloat16", "int8", "exact")
