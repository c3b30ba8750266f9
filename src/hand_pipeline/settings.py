"""Kedro settings."""

from hand_pipeline.hooks import TrackingHook

HOOKS = (TrackingHook(),)
DISABLE_HOOKS_FOR_PLUGINS = ("kedro_mlflow", "kedro-telemetry")
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "base",
    "config_patterns": {"mlflow": ["mlflow*"]},
}
