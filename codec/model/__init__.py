"""The neural network: transform, layers, quantizers and streaming inference. It knows no files and no training."""
