#!/usr/bin/env bash
# Question: how far may the probabilities in decoder and encoder of a range coder be apart?
# Expected: by a rounding error of float32: tables become integers of 24 bits first, which should absorb it.
# Versions: constriction 0.5.0, numpy 2.4.6; Python 3.11
# Seen: not at all: the same softmax in float32, each value moved to the next number, decodes to 98 % other
#   symbols. Wrong tables raise nothing, nor does asking for more symbols than were written: symbols are returned.
# Output seen:
#   the same table (largest difference 0e+00): 0% wrong
#   each value one float32 up (largest difference 3e-08): 98% wrong
#   5000 symbols written, 10000 asked for and returned
# Why it matters: a neural entropy model computed on another machine, in another batch size or precision decodes
#   to noise, and only a checksum of the result can tell.
# In Lathe: tables are integers that travel with the model (codec/bitstream/range_coder.py); every packet has a
#   checksum.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile constriction==0.5.0 numpy==2.4.6
venv/bin/python - <<'EOF'
import constriction
import numpy as np

Categorical = constriction.stream.model.Categorical
queue = constriction.stream.queue
rng = np.random.default_rng(0)
symbols = rng.integers(0, 64, 5000).astype(np.int32)
logits = 3 * rng.standard_normal(64).astype(np.float32)
table = np.exp(logits) / np.exp(logits).sum()
encoder = queue.RangeEncoder()
encoder.encode(symbols, Categorical(table, perfect=False))
words = encoder.get_compressed()
wrong = []
for name, other in (("the same table", table), ("each value one float32 up", np.nextafter(table, np.float32(2)))):
    wrong.append((queue.RangeDecoder(words).decode(Categorical(other, perfect=False), len(symbols)) != symbols).mean())
    print(f"{name} (largest difference {np.abs(other - table).max():.0e}): {wrong[-1]:.0%} wrong")
more = queue.RangeDecoder(words).decode(Categorical(table, perfect=False), 2 * len(symbols))
print(f"{len(symbols)} symbols written, {len(more)} asked for and returned")
assert wrong[0] == 0 and wrong[1] > 0.9 and len(more) == 2 * len(symbols)
EOF
