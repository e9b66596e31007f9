#!/usr/bin/env bash
# Question: does "import lightning" take longer where transformers is installed, in a program that uses no metric of
#   text or images?
# Expected: no; an optional dependency is imported by what needs it.
# Versions: lightning 2.6.6, torchmetrics 1.9.0, transformers 5.24.0, torch 2.13.0; Python 3.11
# Seen: yes. Lightning imports torchmetrics, whose package imports all its metrics, those of text and images, too, and
#   these import classes of transformers where its distribution is found.
# Output seen (seconds of processor time depend on the machine):
#   without transformers: transformers not imported
#   with transformers: transformers imported, 2.3 s more
# Why it matters: each process of a training pays for it: every start, every process of a group, every loader that is
#   spawned.
# In Lathe: the extra transformers is not part of the extra all.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
cat > ask.py <<'EOF'
import sys
import time

import lightning

print("transformers" in sys.modules, round(time.process_time(), 1))
EOF
venv/bin/pip install -q --disable-pip-version-check torch==2.13.0 lightning==2.6.6 torchmetrics==1.9.0
venv/bin/python ask.py > /dev/null # the next one reads what this one has compiled
read -r imported before < <(venv/bin/python ask.py)
[ "$imported" = False ]
echo "without transformers: transformers not imported"
venv/bin/pip install -q --disable-pip-version-check transformers==5.24.0
venv/bin/python ask.py > /dev/null
read -r imported after < <(venv/bin/python ask.py)
[ "$imported" = True ]
echo "with transformers: transformers imported, $(python3 -c "print(round($after - $before, 1))") s more"
