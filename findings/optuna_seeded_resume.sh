#!/usr/bin/env bash
# Question: what does a seeded Optuna search propose when the same script is started again to go on?
# Expected: new points: the study is loaded with its trials, and the sampler goes on.
# Versions: optuna 5.0.0, numpy 2.4.6; Python 3.11
# Seen: while a sampler still proposes at random (RandomSampler always, TPE for 10 trials, NSGA-II for 50), the
#   same points again in the same order: the seed starts anew with the process, the study does not know.
# Output seen:
#   RandomSampler: [0.549, 0.715, 0.603, 0.545], then [0.549, 0.715, 0.603, 0.545]
#   TPESampler: [0.549, 0.715, 0.603, 0.545], then [0.549, 0.715, 0.603, 0.545]
#   NSGAIISampler: [0.549, 0.715, 0.603, 0.545], then [0.549, 0.715, 0.603, 0.545]
# Why it matters: after an interruption expensive trainings are run twice, and workers started with one seed all
#   train the same candidates.
# In Lathe: eval/search/sampler.py draws each proposal with a seed made of the plan's seed and the proposal's
#   number.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile optuna==5.0.0 numpy==2.4.6
venv/bin/python - <<'EOF'
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
samplers = optuna.samplers
for make in (samplers.RandomSampler, samplers.TPESampler, samplers.NSGAIISampler):
    storage = optuna.storages.InMemoryStorage()
    for _ in range(2):  # two starts of one script
        study = optuna.create_study(storage=storage, study_name="s", sampler=make(seed=0), load_if_exists=True)
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1) ** 2, 4)
    points = [round(trial.params["x"], 3) for trial in study.trials]
    print(f"{make.__name__}: {points[:4]}, then {points[4:]}")
    assert points[:4] == points[4:]
EOF
