"""Names of the data types that a decoder computes in; :mod:`codec.model.decoder_precision` makes it do so."""

DTYPES = ("float32", "float16", "bfloat16", "int8", "exact")

GRAPH_DTYPES = ("float32", "float16", "int8")
"""Types in which an ONNX graph of a decoder can store its weights; see :mod:`codec.pretrained.compact_graphs`."""
