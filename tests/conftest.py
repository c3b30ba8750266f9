"""Settings of every test: one thread, so that figures do not depend on the machine's cores."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

import torch

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
