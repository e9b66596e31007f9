#!/usr/bin/env bash
# Question: what does pystoi return for a clip that is too short to score?
# Expected: an error or NaN, so that a mean over clips is of clips that have a value.
# Versions: pystoi 0.4.1, numpy 2.4.6; Python 3.11
# Seen: 1e-05, a valid and very bad score, with a RuntimeWarning, for speech of under 384 ms once the pauses are
#   taken out. The same speech twice, of which 500 ms score 1.0.
# Output seen:
#   350 ms against itself 1e-05, 500 ms against itself 1.000; RuntimeWarning
# Why it matters: one short clip in ten lowers a mean STOI by a tenth, identically for all codecs, and each looks
#   worse than published.
# In Lathe: eval/metrics/registry.py gives no value under a shortest duration, and says so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile pystoi==0.4.1 numpy==2.4.6
venv/bin/python - <<'EOF'
import warnings

import numpy as np
from pystoi import stoi

x = np.random.default_rng(0).standard_normal(16000)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    short, longer = (stoi(x[:samples], x[:samples], 16000) for samples in (5600, 8000))
print(f"350 ms against itself {short}, 500 ms against itself {longer:.3f}; {caught[0].category.__name__}")
assert short == 1e-5 and longer > 0.99 and len(caught) == 1
EOF
