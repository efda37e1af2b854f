"""The embedded shop: a day of clicks as the text REES46 would have sent, the same bytes for the same seed.

A session has a latent interest it never names. Inside an interest every item has three likely successors; the same item
has others inside another interest. So the next item follows from the last one *and* from what came before it: a model
that reads the sequence wins over counting, and counting pairs wins over popularity. Popularity is Zipf's, moves from day
to day (random walk per item and per interest, some successors change), and a quarter of the items appears in the course
of the window. Views lead to carts, carts to purchases or removals.

Dirty rows: see pipelines.events.dirt.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import polars as pl

from pipelines.events import catalogue, dirt
from pipelines.events.catalogue import FOLLOWED, Catalogue, Floats, Ints, drawn, rewired
from pipelines.events.params import SimulateParams

HEADER = b"event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
EVENT_NAMES = ["view", "cart", "purchase", "remove_from_cart"]
CART, PURCHASE, REMOVE = 0.08, 0.4, 0.1
"""Chance of a cart after a view, of a purchase and of a removal after a cart."""
ROWS_PER_VIEW = 1 + CART * (1 + PURCHASE + (1 - PURCHASE) * REMOVE)
OWN_INTEREST = 0.6
"""Share of sessions in which a user follows a lasting interest; the others follow the day's taste."""
ITEM_DRIFT, INTEREST_DRIFT, REWIRED, PRICE_DRIFT = 0.12, 0.15, 0.005, 0.01
"""Daily: standard deviation of log popularity of an item, of an interest; share of slots with new successors; of log price."""
MAX_LENGTH, DAY_S = 50, 86_400
HOURS = np.array([3, 2, 2, 3, 5, 8, 10, 12, 13, 13, 12, 12, 12, 12, 13, 14, 16, 18, 19, 19, 17, 13, 9, 5], dtype=float)
WEEK = np.array([1.0, 0.97, 0.98, 1.0, 1.05, 1.15, 1.12])


def days(shop: SimulateParams) -> Iterator[tuple[str, bytes]]:
    """Every day of the window: its name and its CSV text, rows in time order, `num_events` rows in all."""
    rng = np.random.default_rng(shop.seed)
    goods = catalogue.build(rng, shop.num_items, shop.num_interests, shop.days)
    num_users = max(10, int(shop.num_events / ROWS_PER_VIEW / shop.mean_session_length / 3))
    favourite = rng.integers(0, shop.num_interests, num_users)
    dates = [shop.first_day + timedelta(days=i) for i in range(shop.days)]
    share = WEEK[[date.weekday() for date in dates]] * np.exp(rng.normal(0, 0.05, shop.days))
    ends = np.round(np.cumsum(share / share.sum()) * shop.num_events).astype(np.int64)
    taste = rng.normal(0, 0.5, shop.num_interests)
    trend = np.zeros(shop.num_items)
    price = np.log(goods.price_cents)
    for day, (date, rows) in enumerate(zip(dates, np.diff(ends, prepend=0).tolist(), strict=True)):
        taste += rng.normal(0, INTEREST_DRIFT, len(taste))
        trend += rng.normal(0, ITEM_DRIFT, len(trend))
        price += rng.normal(0, PRICE_DRIFT, len(price))
        _rewire(rng, goods)
        weight = goods.slot_weight * np.exp(trend[goods.slot_item]) * (goods.born[goods.slot_item] <= day)
        visits = _sessions(rng, shop, goods, weight, taste, favourite, day, rows)
        yield str(date), _text(rng, visits, goods, np.exp(price), str(date), day, shop.dirty_share)


def _rewire(rng: np.random.Generator, goods: Catalogue) -> None:
    """Some slots get new successors: habits change."""
    which = np.flatnonzero(rng.random(len(goods.slot_item)) < REWIRED)
    interest = np.searchsorted(goods.end, which, "right")
    goods.successors[which] = rewired(rng, np.sqrt(goods.slot_weight), goods.begin, goods.end, interest)


def _sessions(
    rng: np.random.Generator,
    shop: SimulateParams,
    goods: Catalogue,
    weight: Floats,
    taste: Floats,
    favourite: Ints,
    day: int,
    rows: int,
) -> dict[str, Ints]:
    """`rows` events of one day as columns second, event, item, user, session (a number), in time order."""
    number = int(rows / ROWS_PER_VIEW / shop.mean_session_length * 1.1) + 20
    lengths = np.minimum(rng.geometric(1 / shop.mean_session_length, number), MAX_LENGTH)
    lengths = -np.sort(-lengths)  # longest first: the sessions still going on are always the first ones
    user = rng.integers(0, len(favourite), number)
    chance = np.exp(taste - taste.max()) * np.bincount(
        np.searchsorted(goods.end, np.flatnonzero(weight), "right"), minlength=len(taste)
    )
    of_day = rng.choice(len(taste), number, p=chance / chance.sum())
    own = (rng.random(number) < OWN_INTEREST) & (chance[favourite[user]] > 0)
    interest = np.where(own, favourite[user], of_day)
    begin, end = goods.begin[interest], goods.end[interest]
    born = weight > 0
    slot = drawn(rng, weight, begin, end, number)
    walks = np.zeros((number, MAX_LENGTH), dtype=np.int64)
    walks[:, 0] = slot
    for step in range(1, int(lengths.max())):
        going = int(np.searchsorted(-lengths, -step, "left"))
        now = walks[:going, step - 1]
        which = np.searchsorted(FOLLOWED, rng.random(going), "right").clip(max=len(FOLLOWED) - 1)
        follow = goods.successors[now, which]
        free = drawn(rng, weight, begin[:going], end[:going], going)
        stays = (rng.random(going) < shop.follow_share) & born[follow]
        walks[:going, step] = np.where(stays, follow, free)
    gaps = np.minimum(np.exp(rng.normal(3.2, 0.9, walks.shape)), 600.0) + 3
    gaps[:, 0] = 0
    clock = np.cumsum(gaps, axis=1)
    hour = rng.choice(24, number, p=HOURS / HOURS.sum())
    start = hour * 3600 + rng.random(number) * 3600
    start = np.minimum(start, DAY_S - 10 - clock[np.arange(number), lengths - 1])
    inside = np.arange(MAX_LENGTH) < lengths[:, None]
    session, step_of = inside.nonzero()
    views = {
        "session": session,
        "item": goods.slot_item[walks[session, step_of]],
        "second": (start[session] + clock[session, step_of]).astype(np.int64),
        "event": np.zeros(len(session), dtype=np.int64),
    }
    return _ordered(rng, _with_carts(rng, views), user, rows)


def _with_carts(rng: np.random.Generator, views: dict[str, Ints]) -> dict[str, Ints]:
    """After a view, in the next three seconds, perhaps a cart, and then a purchase or a removal of the same item."""
    cart = np.flatnonzero(rng.random(len(views["item"])) < CART)
    bought = rng.random(len(cart)) < PURCHASE
    gone = ~bought & (rng.random(len(cart)) < REMOVE)
    parts = [(np.arange(len(views["item"])), 0, 0), (cart, 1, 1), (cart[bought], 2, 2), (cart[gone], 3, 2)]
    at = np.concatenate([rows for rows, _, _ in parts])
    events = {name: values[at] for name, values in views.items()}
    events["event"] = np.concatenate([np.full(len(rows), kind) for rows, kind, _ in parts])
    events["second"] = events["second"] + np.concatenate([np.full(len(rows), later) for rows, _, later in parts])
    return events


def _ordered(rng: np.random.Generator, events: dict[str, Ints], user: Ints, rows: int) -> dict[str, Ints]:
    """Exactly `rows` events: whole sessions in random order, the last one cut; then in time order."""
    shuffled = rng.permutation(len(user))[events["session"]]
    order = np.lexsort((events["second"], shuffled))[:rows]
    assert len(order) == rows, f"{len(order)} of {rows} events: too few sessions"
    order = order[np.argsort(events["second"][order], kind="stable")]
    chosen = {name: values[order] for name, values in events.items()}
    return {**chosen, "user": user[chosen["session"]]}


def _text(
    rng: np.random.Generator, events: dict[str, Ints], goods: Catalogue, price: Floats, date: str, day: int, dirty_share: float
) -> bytes:
    halves = rng.integers(0, 1 << 63, (int(events["session"].max(initial=0)) + 1, 2))
    names = [f"{a:016x}{b:016x}" for a, b in halves.tolist()]
    names = [f"{n[:8]}-{n[8:12]}-{n[12:16]}-{n[16:20]}-{n[20:]}" for n in names]
    cents = np.maximum(99, np.round(price)).astype(np.int64)
    prices = [f"{c // 100}.{c % 100:02}," for c in cents.tolist()]
    items = pl.Series([detail + text for detail, text in zip(goods.details, prices, strict=True)])
    midnight = np.datetime64(date, "s")
    frame = pl.DataFrame(
        {
            "time": (midnight + events["second"].astype("timedelta64[s]")).astype("datetime64[us]"),
            "event": pl.Series(EVENT_NAMES).gather(events["event"]),
            "item": items.gather(events["item"]),
            "user": events["user"] + 500_000_000,
            "session": pl.Series(names).gather(events["session"]),
        }
    )
    time = pl.col("time").dt.strftime("%Y-%m-%d %H:%M:%S UTC,")
    line = pl.concat_str(time, "event", "item", pl.col("user").cast(pl.String), pl.lit(","), "session")
    lines = frame.select(line.alias("line"))["line"].to_list()
    for place, text in dirt.soiled(rng, lines, day, dirty_share).items():
        lines[place] = text
    body = "\n".join(lines).encode()
    return HEADER + body.replace(dirt.PLACEHOLDER.encode(), dirt.BAD_BYTES) + b"\n"
