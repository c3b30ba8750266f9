"""What becomes of runs when processes die under them: three demonstrations, each checked.

    python -m scripts.demonstrate killed-sweep        # kill -9 in a member's training, then resumed
    python -m scripts.demonstrate killed-worker       # two Optuna workers, one PostgreSQL, kill -9
    python -m scripts.demonstrate unreachable-server  # MLflow's server is killed under a training

Each works in a temporary copy of the project, in the smoke profile, for some minutes on one core.
It prints what it saw; the exit code is 1 where a check fails. `killed-worker` needs PostgreSQL, see
scripts/postgres_tuning.sh.
"""
