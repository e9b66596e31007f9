#!/usr/bin/env bash
# Question: does torch.nn.Linear in float32 use AVX-512 on an AMD processor that has it, where
#   torch.backends.cpu.get_cpu_capability() is AVX512 and oneDNN is available and enabled?
# Expected: yes; at least it takes no longer than another operator of the same package for the same product.
# Versions: torch 2.13.0, numpy 2.4.1; Python 3.11; AMD EPYC of family 26; no environment variables of MKL or oneDNN
# Seen: the product is MKL's, which keeps to AVX2 on processors of other makers than Intel. oneDNN's, which torch.compile takes
#   (mkldnn::_linear_pointwise), is twice as fast, forward and backward. A 1x1 convolution is as slow as Linear. In bfloat16,
#   Linear is oneDNN's, and more than three times as fast.
# Output seen:
#   (here: 2.0, convolution 1.0, bfloat16 3.7)
#   oneDNN at least 1.5 times as fast: True; convolution faster by a quarter: False
# Why it matters: training and inference of codecs on CPUs are bound by such products; on many rented servers
#   they take twice the time, and no setting that PyTorch documents changes it.
# In Lathe: codec/model/products.py computes them with oneDNN there.
# On other processors there is nothing to see, and the script says so.
set -euo pipefail
if ! grep -q AuthenticAMD /proc/cpuinfo || ! grep -qw avx512f /proc/cpuinfo; then
    echo "needs an AMD processor with AVX-512"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile torch==2.13.0 numpy==2.4.1
venv/bin/python - <<'EOF'
import statistics
import time

import torch
from torch.nn.functional import conv2d, linear

torch.set_num_threads(1)
assert torch.backends.cpu.get_cpu_capability() == "AVX512"
assert torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled
x, weight, bias = torch.randn(800, 384), torch.randn(1152, 384), torch.randn(1152)
image = x.view(1, 800, 1, 384).permute(0, 3, 1, 2)
halves = x.bfloat16(), weight.bfloat16(), bias.bfloat16()
ways = {
    "Linear": lambda: linear(x, weight, bias),
    "oneDNN": lambda: torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], ""),
    "convolution": lambda: conv2d(image, weight[:, :, None, None], bias),
    "bfloat16": lambda: linear(*halves),
}
times = {name: [] for name in ways}
with torch.inference_mode():
    torch.testing.assert_close(ways["Linear"](), ways["oneDNN"](), atol=1e-3, rtol=1e-3)
    for _ in range(100):
        for name, compute in ways.items():
            started = time.thread_time()
            compute()
            times[name].append(time.thread_time() - started)
median = {name: statistics.median(values) for name, values in times.items()}
speed = {name: median["Linear"] / value for name, value in median.items()}
print("(here: {oneDNN:.1f}, convolution {convolution:.1f}, bfloat16 {bfloat16:.1f})".format(**speed))
fast, also = speed["oneDNN"] > 1.5, speed["convolution"] > 1.25
print(f"oneDNN at least 1.5 times as fast: {fast}; convolution faster by a quarter: {also}")
assert fast and not also
EOF
