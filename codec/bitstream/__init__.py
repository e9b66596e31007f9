"""The ``.nac`` format: header, packets, range coding, live profile; docs/bitstream.md. Nothing here needs PyTorch."""
