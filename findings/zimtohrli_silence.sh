#!/usr/bin/env bash
# Question: what does Zimtohrli say to a silent decode, and to half a decode?
# Expected: about the worst of its scale from 1 to 5, and an error.
# Versions: zimtohrli 0.2.1.post1, numpy 2.4.6; Python 3.11
# Seen: silence for noise scores in the middle of the scale, half of the clip better still, and both without a
#   word. Noise 20 dB down, which is plain to hear, scores 4.9 and more.
# Output seen:
#   itself 5.00, noise 20 dB below 4.97, first half 4.78, silence 2.86
# Why it matters: means by this metric hide decodes that failed; a threshold for "good" has to be found on known
#   pairs first.
# In Lathe: Zimtohrli is not used.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile zimtohrli==0.2.1.post1 numpy==2.4.6
venv/bin/python - <<'EOF'
import numpy as np
from zimtohrli import mos_from_signals

rng = np.random.default_rng(0)
x = (0.1 * rng.standard_normal(96000)).astype(np.float32)
noisy = x + 0.01 * rng.standard_normal(96000).astype(np.float32)
scores = [mos_from_signals(x, decode) for decode in (x, noisy, x[:48000], 0 * x)]
print("itself {:.2f}, noise 20 dB below {:.2f}, first half {:.2f}, silence {:.2f}".format(*scores))
assert scores[0] == 5 and scores[1] > 4.9 and 4.5 < scores[2] < 5 and 2.5 < scores[3] < 3.2
EOF
