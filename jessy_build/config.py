"""The base of every class that reads the user's text: strict, frozen, no unknown keys."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """The string under each field is its documentation.

    `recipe.model` puts it into the JSON schema. pydantic could too, but it reads the source of
    each class while importing it, which every command would pay for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
