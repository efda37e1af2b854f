"""The rules: evidence in, verdict and reason out. What was not measured does not pass; without a champion only floors count."""

from __future__ import annotations

from collections.abc import Callable

from pipelines.gate.evidence import Evidence, Verdict
from pipelines.gate.params import GateParams
from pipelines.gate.rules.data import knows_the_items, test_days_are_like_training_days
from pipelines.gate.rules.health import items_differ, loss_is_finite
from pipelines.gate.rules.lists import mixes_lists, shows_items_evenly, shows_many_items, shows_rare_items
from pipelines.gate.rules.quality import (
    beats_session_popularity,
    holds_against_champion,
    no_slice_worse,
    stands_against_session_knn,
)
from pipelines.gate.rules.service import answers_in_time, as_quick_as_champion, fits_in_memory, server_and_file_agree

Rule = Callable[[Evidence, GateParams], Verdict]

RULES: tuple[Rule, ...] = (
    beats_session_popularity,
    stands_against_session_knn,
    holds_against_champion,
    no_slice_worse,
    shows_many_items,
    shows_rare_items,
    shows_items_evenly,
    mixes_lists,
    answers_in_time,
    as_quick_as_champion,
    fits_in_memory,
    server_and_file_agree,
    test_days_are_like_training_days,
    knows_the_items,
    loss_is_finite,
    items_differ,
)
