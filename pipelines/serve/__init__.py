"""serve: what an application sees of the model that Triton serves.

    from pipelines.serve.client import Client, Event
    answer, = Client().recommend([[4804056, 1004856]], k=5)   # raw item ids, most recent last
    answer, = Client().recommend([[Event(4804056, datetime.now(UTC), "view")]])   # for a model that reads times or types
    answer, = Client().recommend([[4804056]], exclude_seen=True, deny=[1005115])
    answer.items, answer.scores, answer.fallback, answer.version

`pipelines.serve.aio.AsyncClient` does the same for asyncio; docs/serving.md has examples of both, and figures.

The contract, for clients in any language (Triton's HTTP or gRPC protocol, model `session_next_item`):

    in   item_ids         int64 [B, L]  raw ids, most recent last; -1 pads, on either side or between; L is in the metadata
         timestamps       int64 [B, L]  microseconds since 1970 UTC of the events  } only where the model reads columns that
         event_types      int64 [B, L]  hashes of the events' types; 0: not known  } need them: the metadata lists the inputs
         exclude_seen     int64 [B, 1]  1: no item of the session is answered; 0: it may be; -1: as serve.exclude_seen had it
         denied_item_ids  int64 [B, D]  raw ids that are not answered; -1 pads; D is in the metadata
    out  next_item_ids    int64 [B, K]  raw ids, best first; -1 where there are fewer than K items
         scores           float32 [B, K]  the model's own scale, falling; -inf beside -1
         fallback         bool [B, 1]   true: no item of the session is known, the list is the most popular items

Every input that the metadata lists must be sent, B is 64 at most. Unknown ids are ignored, in sessions and in denials, and
denied items are no fallback either. What is left out makes room: there are K answers as long as there are K items left. Of
a longer session the most recent L events count. Where a shop's ids are text, the ids on the wire are those of
`vocabulary.parquet` (item_id for item_key); `Client(vocabulary=...)` translates. The hash of an event type ("view") is the
first 63 bits of its BLAKE2b with a digest of 8 bytes, big-endian. An item's category, brand, price and first day are in the
graph: no client sends them. A version that was registered before there were choices has neither exclude_seen nor
denied_item_ids.
"""
