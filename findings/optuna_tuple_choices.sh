#!/usr/bin/env bash
# A choice between tuples works for ten trials of a study on disk, and fails in every later one.
#
# `suggest_categorical("widths", [(8,), (8, 8)])` is accepted with a warning that storages keep such
# choices badly. SQLite keeps them as lists in JSON, and lists are not equal to tuples. The sampler's
# first ten trials are random and do not compare; from the eleventh on each raises "does not support
# dynamic value space", though the choices never change. With `catch=(ValueError,)`, as long
# searches use it, the study ends quietly with the best of ten random trials. In memory all is well.
# One would expect the first trial to be refused, or all to work. Texts in place of tuples work.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "optuna==5.0.0"
cat > "$work/study.py" <<'PYTHON'
import sys
import warnings

import optuna

print(optuna.__version__)
warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.CRITICAL)
for kind, choices in (("tuples", [(8,), (8, 8)]), ("texts", ["8", "8, 8"])):
    for place in (None, f"sqlite:///{sys.argv[1]}/{kind}.db"):
        study = optuna.create_study(storage=place, sampler=optuna.samplers.TPESampler(seed=0))
        study.optimize(
            lambda trial: len(trial.suggest_categorical("widths", choices)),
            n_trials=20,
            catch=(ValueError,),
        )
        done = sum(trial.state.name == "COMPLETE" for trial in study.trials)
        print(f"{kind} {'on disk' if place else 'in memory'}: {done} of 20 trials are complete")
PYTHON
"$work/venv/bin/python" "$work/study.py" "$work" | tee "$work/out.txt"
grep -q "tuples in memory: 20" "$work/out.txt"
grep -q "texts on disk: 20" "$work/out.txt"
grep -q "tuples on disk: 10" "$work/out.txt" || { echo "this has changed"; exit 1; }
