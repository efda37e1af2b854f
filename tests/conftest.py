"""Shapes and types are checked in every test: the annotations of `models` are enforced at run time."""

import os

from jaxtyping import install_import_hook

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in pipelines/__main__.py, and before torch is imported
os.environ.setdefault("GOMP_SPINCOUNT", "0")
install_import_hook("models", "beartype.beartype")
