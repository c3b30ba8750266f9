"""Sweeps and tuning: other pipelines run many times over, each piece of work done once.

A sweep's member is a chain of registered pipelines with some parameters changed. `plan` turns
members into units of work named by everything that decides their result, `workers` runs the units
in processes of their own, `run` keeps records and makes the result table. `tuning` lets Optuna
choose the parameters. These modules find pipelines by name and never import one.
"""
