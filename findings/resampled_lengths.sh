#!/usr/bin/env bash
# Question: how many samples has a resampled signal?
# Expected: n * new / old, rounded one way that all libraries share.
# Versions: soxr 1.1.0, librosa 0.11.0, samplerate 0.2.4, resampy 0.4.3, numpy 2.4.6; Python 3.11
# Seen: soxr rounds to the nearest, samplerate and resampy round down, librosa rounds up, even where it calls
#   soxr, and fills up with a sample of 0. 44,101 samples to 16 kHz (16,000.36) and 48,001 to 44.1 kHz (44,100.92)
#   tell them apart.
# Output seen:
#   44101 from 44100 to 16000 Hz, exactly 16000.36: {'soxr': 16000, 'librosa': 16001, 'samplerate': 16000, 'resampy': 16000}
#   last sample of librosa's: 0.0
#   48001 from 48000 to 44100 Hz, exactly 44100.92: {'soxr': 44101, 'librosa': 44101, 'samplerate': 44100, 'resampy': 44100}
# Why it matters: shapes differ by one between two parts of a pipeline, and a cut or padded sample at each end of
#   a clip is a click in a corpus of short clips.
# In Lathe: codec/audio/resampling.py uses soxr alone; lengths after a decode come from the header.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile soxr==1.1.0 librosa==0.11.0 samplerate==0.2.4 resampy==0.4.3 numpy==2.4.6 setuptools==80.9.0
venv/bin/python - <<'EOF'
import warnings

import librosa
import numpy as np
import resampy
import samplerate
import soxr

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
for old, new, n in ((44100, 16000, 44101), (48000, 44100, 48001)):
    x = rng.standard_normal(n).astype(np.float32)
    with_librosa = librosa.resample(x, orig_sr=old, target_sr=new)
    lengths = {
        "soxr": len(soxr.resample(x, old, new)),
        "librosa": len(with_librosa),
        "samplerate": len(samplerate.resample(x, new / old)),
        "resampy": len(resampy.resample(x, old, new)),
    }
    exact = n * new / old
    print(f"{n} from {old} to {new} Hz, exactly {exact:.2f}: {lengths}")
    down = int(exact)
    assert lengths == {"soxr": round(exact), "librosa": down + 1, "samplerate": down, "resampy": down}
    if lengths["soxr"] < lengths["librosa"]:
        print(f"last sample of librosa's: {with_librosa[-1]}")
        assert with_librosa[-1] == 0
EOF
