#!/usr/bin/env bash
# Question: if several processes ask Optuna's RDB storage in SQLite to run the same waiting trial, does exactly one
#   get it?
# Expected: yes. set_trial_state_values(trial, RUNNING) returns False when the trial waits no more; it compares and
#   changes under "for update", and enqueued trials are handed out by it.
# Versions: optuna 5.0.0, SQLAlchemy 2.1.9; Python 3.11
# Seen: several get it. SQLite has no "select … for update", which SQLAlchemy leaves out of the statement without a
#   word, and Python's driver opens no transaction for a select.
# Output seen:
#   60 waiting trials, 4 processes: each got at least once: True
#   got by more than one: True
# Why it matters: workers of a search on one machine repeat the work of enqueued trials; as a lock it does not hold.
# In Lathe: eval/search/run.py locks searches in SQLite by files, see eval/search/locks.py.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile optuna==5.0.0 SQLAlchemy==2.1.9
cat > claim.py <<'EOF'
import multiprocessing
import warnings

warnings.simplefilter("ignore")
import optuna
from optuna.trial import TrialState, create_trial

optuna.logging.set_verbosity(optuna.logging.ERROR)
PROCESSES, TRIALS = 4, 60
URL = "sqlite:///study.db"


def claim(barrier, claimed):
    study = optuna.load_study(study_name="s", storage=URL)
    storage = study._storage
    for trial in study.get_trials(deepcopy=False):
        barrier.wait()
        if storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
            with claimed[trial.number].get_lock():
                claimed[trial.number].value += 1


if __name__ == "__main__":
    study = optuna.create_study(study_name="s", storage=URL)
    for _ in range(TRIALS):
        study.add_trial(create_trial(state=TrialState.WAITING))
    context = multiprocessing.get_context("spawn")
    barrier, claimed = context.Barrier(PROCESSES), [context.Value("i", 0) for _ in range(TRIALS)]
    workers = [context.Process(target=claim, args=(barrier, claimed)) for _ in range(PROCESSES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    counts = [each.value for each in claimed]
    print(f"{TRIALS} waiting trials, {PROCESSES} processes: each got at least once: {min(counts) >= 1}")
    print(f"got by more than one: {sum(count > 1 for count in counts) > 0}")
    assert min(counts) >= 1 and max(counts) > 1
EOF
venv/bin/python claim.py
