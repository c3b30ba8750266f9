"""The base class of every configuration: frozen, typed, and closed to unknown keys."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A frozen set of parameters, built by Kedro from YAML before any node runs.

    An unknown or misspelt key, a value of the wrong type or outside its range is an error that
    names the key. Keys are the field's words; each field says its unit and where it comes from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
