"""Shapes and types are checked in every test: the annotations of `models` are enforced at run time."""

from jaxtyping import install_import_hook

install_import_hook("models", "beartype.beartype")
