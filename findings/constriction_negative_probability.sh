#!/usr/bin/env bash
# Question: what does constriction do with a table of probabilities that holds a negative one?
# Expected: raise, as for NaN and infinity.
# Versions: constriction 0.5.0, numpy 2.4.6; Python 3.11
# Seen: with perfect=False it is accepted, and what is encoded with it is decoded to other symbols, without an
#   error. Tables that are not normalised, which one might expect to be refused too, are normalised and right.
# Output seen:
#   normalised: 0% of symbols wrong, nothing raised
#   not normalised: 0% of symbols wrong, nothing raised
#   one negative: 98% of symbols wrong, nothing raised
# Why it matters: a rounding that makes -1e-9 of a 0, or a subtraction of counts, ends in files that cannot be
#   decoded; checking the output needs a decode of every file.
# In Lathe: codec/bitstream/range_coder.py makes its models from integer tables.
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
table = rng.random(64)
negative = table.copy()
negative[3] = -0.5
wrong = {}
for name, probabilities in (("normalised", table / table.sum()), ("not normalised", table), ("one negative", negative)):
    encoder = queue.RangeEncoder()
    encoder.encode(symbols, Categorical(probabilities, perfect=False))
    decoder = queue.RangeDecoder(encoder.get_compressed())
    wrong[name] = (decoder.decode(Categorical(probabilities, perfect=False), len(symbols)) != symbols).mean()
    print(f"{name}: {wrong[name]:.0%} of symbols wrong, nothing raised")
try:
    Categorical(np.full(64, np.nan), perfect=False)
    raised = False
except ValueError:
    raised = True
assert wrong["normalised"] == wrong["not normalised"] == 0 and wrong["one negative"] > 0.5 and raised
EOF
