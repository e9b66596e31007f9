#!/usr/bin/env bash
# Question: what does ViSQOL say when one side is silent?
# Expected: the worst score, or an error, for both.
# Versions: visqol-python 3.8.0, numpy 2.4.6; Python 3.11
# Seen: a silent reference scores as if the decode were perfect (4.73 in audio mode), whatever the decode holds; a
#   silent decode gives NaN.
# Output seen:
#   perfect 4.73; noise for silence 4.73; silence for noise nan
# Why it matters: a test set with a silent clip lifts all means, most for a codec that makes noise of silence; one
#   silent decode makes a mean NaN, or disappears from a mean that leaves NaN out.
# In Lathe: eval/metrics/registry.py gives no value for a silent reference and the worst one for a silent decode.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile visqol-python==3.8.0 numpy==2.4.6
venv/bin/python - <<'EOF'
import warnings

import numpy as np
from visqol import VisqolApi

warnings.simplefilter("ignore")
api = VisqolApi()
api.create(mode="audio")
noise = 0.1 * np.random.default_rng(0).standard_normal(3 * 48000)
silence = np.zeros_like(noise)
perfect, silent_reference, silent_decode = (
    api.measure_from_arrays(reference, decode, 48000).moslqo
    for reference, decode in ((noise, noise), (silence, noise), (noise, silence))
)
print(f"perfect {perfect:.2f}; noise for silence {silent_reference:.2f}; silence for noise {silent_decode}")
assert silent_reference >= perfect > 4.5 and np.isnan(silent_decode)
EOF
