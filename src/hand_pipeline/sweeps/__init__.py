"""Sweeps and tuning: run other pipelines many times, each piece of work only once.

A sweep's member is a chain of registered pipelines with some parameters changed. `plan` splits
members into units of work, each keyed by everything that decides its result; `workers` runs each
unit in its own process; `run` keeps records and makes the result table. `tuning` lets Optuna
choose the parameters. These modules load pipelines by name and never import one.
"""
