#!/usr/bin/env bash
# Question: do weights in 8 bits make products of one frame faster in ONNX Runtime, for a quarter of the bytes is read?
# Expected: yes; weights alone are quantized to save reading, and the default is meant to be used.
# Versions: onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.1; Python 3.11
# Seen: with MatMulNBitsQuantizer(bits=8) as it comes, a frame takes 7 times as long as with weights in float32; with
#   accuracy_level=4, which also rounds the frame to 8 bits, half as long.
# Output seen:
#   (here: 7.2 and 0.47 times)
#   default: 2 x the time of float32 or more: True; accuracy_level=4: faster: True
# Why it matters: decoders of live streams are bound by reading weights; a graph that was made smaller for that becomes
#   slower than before, and nothing says so; the docstring speaks of the level for 4 bits only.
# In Lathe: codec/pretrained/frame_graphs.py sets accuracy_level=4.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.1 \
    onnx-ir==1.1.0
venv/bin/python - <<'EOF'
import time

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

generator = np.random.default_rng(0)
SIZES = [(384, 1152), (1152, 384)] * 4
nodes, weights = [], []
for number, size in enumerate(SIZES):
    matrix = (generator.standard_normal(size) * size[0] ** -0.5).astype(np.float32)
    weights.append(numpy_helper.from_array(matrix, f"w{number}"))
    nodes.append(helper.make_node("MatMul", [f"x{number}", f"w{number}"], [f"x{number + 1}"], name=f"n{number}"))
value = helper.make_tensor_value_info
ends = [value("x0", TensorProto.FLOAT, [1, 384])], [value(f"x{len(SIZES)}", TensorProto.FLOAT, [1, 384])]
graph = helper.make_graph(nodes, "products", *ends, weights)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
sessions = {}
for name, level in (("float32", -1), ("default", None), ("accuracy_level=4", 4)):
    stored = type(model).FromString(model.SerializeToString())
    if name != "float32":
        quantizer = MatMulNBitsQuantizer(stored, bits=8, block_size=32, is_symmetric=True, accuracy_level=level)
        quantizer.process()
        stored = quantizer.model.model
    session = onnxruntime.InferenceSession(stored.SerializeToString(), options, providers=["CPUExecutionProvider"])
    sessions[name] = session
frame = {"x0": generator.standard_normal((1, 384)).astype(np.float32)}
times = {name: [] for name in sessions}
for _ in range(200):
    for name, session in sessions.items():
        started = time.thread_time()
        session.run(None, frame)
        times[name].append(time.thread_time() - started)
median = {name: np.median(values) for name, values in times.items()}
default, level4 = median["default"] / median["float32"], median["accuracy_level=4"] / median["float32"]
print(f"(here: {default:.1f} and {level4:.2f} times)")
print(f"default: 2 x the time of float32 or more: {default > 2}; accuracy_level=4: faster: {level4 < 1}")
assert default > 2 and level4 < 1
EOF
