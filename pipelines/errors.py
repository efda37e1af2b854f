"""Errors a person can act on: what went wrong, where, and what to do next.

They are printed without a traceback. Anything else that is raised is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PipelineError(Exception):
    """Something a person can put right."""

    def __init__(self, what: str, where: str, next_step: str) -> None:
        super().__init__(what, where, next_step)
        self.what, self.where, self.next_step = what, where, next_step

    def __str__(self) -> str:
        return f"{type(self).__name__}: {self.what}\n  where  {self.where}\n  next   {self.next_step}"


class ParamsError(PipelineError):
    """A setting is unknown, of the wrong type or out of bounds."""


class DataError(PipelineError):
    """The data cannot be used as they are."""


class ServiceError(PipelineError):
    """MLflow, Triton or Airflow does not answer, or answers wrongly."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The list of right names, the most similar one first."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {', '.join(names)}"
