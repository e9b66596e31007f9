#!/usr/bin/env bash
# Question: from which trial on does NSGA-II in Optuna learn from what it has seen?
# Expected: soon; TPE does from the 11th on.
# Versions: optuna 5.0.0, numpy 2.4.6; Python 3.11
# Seen: from the 51st: the first generation, 50 trials by default, is random search. With the same seed its
#   proposals are those of RandomSampler, one by one.
# Output seen:
#   trials 1 to 50: 50 proposals equal to random search; 51 to 60: 0
# Why it matters: a search over codecs has some dozens of trials, each hours long: all of it is then random, under
#   the name of an evolutionary one, and a comparison of both samplers compares one with itself.
# In Lathe: eval/search/plan.py has a population of 10 by default.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile optuna==5.0.0 numpy==2.4.6
venv/bin/python - <<'EOF'
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)


def objective(trial):
    rate, width = trial.suggest_float("rate", 0, 1), trial.suggest_int("width", 8, 512)
    return rate, (width - 100) ** 2 * (1.1 - rate)


proposals = []
for sampler in (optuna.samplers.NSGAIISampler(seed=0), optuna.samplers.RandomSampler(seed=0)):
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    study.optimize(objective, 60)
    proposals.append([trial.params for trial in study.trials])
same = [a == b for a, b in zip(*proposals)]
print(f"trials 1 to 50: {sum(same[:50])} proposals equal to random search; 51 to 60: {sum(same[50:])}")
assert all(same[:50]) and not any(same[50:])
EOF
