"""gru4rec: tab-separated `SessionId ItemId Time`, as GRU4Rec's own scripts write them; every row is a view.

Time is epoch seconds (with fraction) or an ISO time. GRU4Rec's preprocessing writes `*_train_full` and, from the same
rows, `*_train_tr` and `*_train_valid`: where the whole is there, its two parts are left out.

Source  https://github.com/hidasib/GRU4Rec, examples/rsc15/preprocess.py
"""

from __future__ import annotations

from collections.abc import Iterable

from pipelines import columns
from pipelines.events.layout import Layout
from pipelines.events.params import EventsParams

WHOLE, PARTS = "_train_full", ("_train_tr", "_train_valid")


def layout(events: EventsParams) -> Layout:
    return Layout(
        columns={columns.SESSION: "SessionId", columns.ITEM: "ItemId", columns.TIME: "Time"},
        suffixes=(".txt", ".tsv", ".csv"),
        separator="\t",
        time="epoch_s_or_iso",
        zone=events.time_zone,
        every_event="view",
    )


def copies(names: Iterable[str]) -> dict[str, str]:
    """Files whose rows all stand in another one: name -> the other one."""
    known = set(names)
    found = {}
    for name in sorted(known):
        for part in PARTS:
            whole = name.replace(part, WHOLE)
            if part in name and whole in known:
                found[name] = whole
    return found
