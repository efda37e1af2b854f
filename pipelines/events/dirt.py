"""Broken rows for the simulated shop: each kind as it is met in real logs.

In each day a share of the rows is broken, each by one of these kinds (in turn, in random places):

 1 time_text       the time is a word                          10 event_empty     no event type
 2 time_epoch_ms   the time is epoch milliseconds              11 no_visitor      neither session nor user
 3 time_future     a year ahead                                12 bytes           bytes that are not UTF-8 in the brand
 4 time_past       1970, a clock that was never set            13 mojibake        U+FFFD in the brand
 5 price_negative  a refund booked as a price                  14 cut             the row ends early
 6 price_text      "n/a"                                       15 comma           an unquoted comma: one field too many
 7 price_absurd    a price in the wrong unit                   16 duplicate       the row before, once more
 8 item_empty      no item                                     17 empty_line      nothing at all
 9 item_text       "SKU-..." where ids are numbers             18 event_unknown   an event type nobody knows

19 bot: on every third day that has room for it, a visitor of some hundred events, scattered over the day.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

BAD_BYTES, PLACEHOLDER = b"\xff\xfe", "\ue000"
"""A frame of text cannot hold bytes that are no text: they are put in when the day is written."""
BOT_EVENTS = 260

Fields = list[str]
TIME, EVENT, ITEM, BRAND, PRICE, USER, SESSION = 0, 1, 2, 5, 6, 7, 8


def _set(at: int, value: Callable[[str], str]) -> Callable[[Fields], str]:
    def change(fields: Fields) -> str:
        return ",".join([*fields[:at], value(fields[at]), *fields[at + 1 :]])

    return change


KINDS: dict[str, Callable[[Fields], str]] = {
    "time_text": _set(TIME, lambda _: "yesterday"),
    "price_negative": _set(PRICE, lambda price: f"-{price}"),
    "item_empty": _set(ITEM, lambda _: ""),
    "event_unknown": _set(EVENT, lambda _: "hover"),
    "duplicate": ",".join,  # the row before, see soiled
    "no_visitor": lambda fields: ",".join([*fields[:USER], "", ""]),
    "bytes": _set(BRAND, lambda brand: f"{brand or 'caf'}{PLACEHOLDER}"),
    "cut": lambda fields: ",".join(fields[:PRICE]),
    "time_epoch_ms": _set(TIME, lambda time: str(int(np.datetime64(time[:19].replace(" ", "T"), "ms").astype(np.int64)))),
    "price_text": _set(PRICE, lambda _: "n/a"),
    "time_future": _set(TIME, lambda time: f"{int(time[:4]) + 1}{time[4:].replace('-02-29', '-02-28')}"),
    "mojibake": _set(BRAND, lambda brand: f"{brand or 'caf'}\ufffd"),
    "item_text": _set(ITEM, lambda item: f"SKU-{item}"),
    "comma": _set(BRAND, lambda brand: f"{brand or 'no'}, inc"),
    "time_past": _set(TIME, lambda time: f"1970-01-01{time[10:]}"),
    "price_absurd": _set(PRICE, lambda price: f"9{price.split('.')[0]:0>9}.00"),
    "event_empty": _set(EVENT, lambda _: ""),
    "empty_line": lambda _: "",
}


def soiled(rng: np.random.Generator, lines: list[str], day: int, share: float) -> dict[int, str]:
    """The lines to replace, by position: `share` of them. Same generator state, same dirt."""
    number = round(len(lines) * share)
    if number < 1 or len(lines) < 2:
        return {}
    places = np.sort(rng.choice(len(lines) - 1, min(number, len(lines) - 1), replace=False)) + 1
    replaced: dict[int, str] = {}
    bot = day % 3 == 1 and number >= BOT_EVENTS * 1.2
    in_bot = set(rng.choice(len(places), BOT_EVENTS, replace=False).tolist()) if bot else set()
    tag = f"bot-{day:03}-{int(rng.integers(1 << 32)):08x}"
    kinds = list(KINDS)
    turn = int(rng.integers(len(kinds)))
    for i, place in enumerate(places.tolist()):
        fields = lines[place].split(",")
        if i in in_bot:
            replaced[place] = ",".join([*fields[:USER], "999", tag])
            continue
        kind = kinds[turn % len(kinds)]
        turn += 1
        if kind == "duplicate":
            if place - 1 in replaced:
                kind = "price_negative"
            else:
                replaced[place] = lines[place - 1]
                continue
        replaced[place] = KINDS[kind](fields)
    return replaced
