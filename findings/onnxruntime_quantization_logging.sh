#!/usr/bin/env bash
# Question: does importing ONNX Runtime's quantizer for 8-bit weights leave the program's logging as it was?
# Expected: yes; a library adds no handlers to the root logger ("Configuring Logging for a Library", Python's docs).
# Versions: onnxruntime 1.32.0, onnx 1.23.2, onnx_ir 1.1.0; Python 3.11
# Seen: the import calls logging.basicConfig(level=INFO): from then on every logger of the program writes its
#   messages of level INFO to standard error, and a basicConfig of the program's own afterwards does nothing.
# Output seen:
#   before: handlers 0, level WARNING
#   after: handlers 1, level INFO
#   a program's basicConfig(level=ERROR) afterwards: level INFO
# Why it matters: an export of a codec prints a line for each node of its graph, a hundred of them, between its own
#   output, and a program that exports from Python loses the set-up of its log.
# In Lathe: codec/pretrained/frame_graphs.py imports it while the root logger has a handler.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile onnxruntime==1.32.0 onnx==1.23.2 onnx_ir==1.1.0
venv/bin/python - <<'EOF'
import logging

root = logging.getLogger()
print(f"before: handlers {len(root.handlers)}, level {logging.getLevelName(root.level)}")
from onnxruntime.quantization import matmul_nbits_quantizer  # noqa: E402, F401

print(f"after: handlers {len(root.handlers)}, level {logging.getLevelName(root.level)}")
logging.basicConfig(level=logging.ERROR)
print(f"a program's basicConfig(level=ERROR) afterwards: level {logging.getLevelName(root.level)}")
assert len(root.handlers) == 1 and root.level == logging.INFO
EOF
