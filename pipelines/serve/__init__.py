"""serve: what an application sees of the model that Triton serves.

    from pipelines.serve.client import Client, Event
    answer, = Client().recommend([[4804056, 1004856]], k=5)   # raw item ids, most recent last
    answer, = Client().recommend([[Event(4804056, datetime.now(UTC), "view")]])   # for a model that reads times or types
    answer.items, answer.scores, answer.fallback, answer.version

The contract, for clients in any language (Triton's HTTP or gRPC protocol, model `session_next_item`):

    in   item_ids       int64 [B, L]  raw ids, most recent last; -1 pads, on either side or between; L is in the metadata
         timestamps     int64 [B, L]  microseconds since 1970 UTC of the events  } only where the model reads columns that
         event_types    int64 [B, L]  hashes of the events' types; 0: not known  } need them: the metadata lists the inputs
    out  next_item_ids  int64 [B, K]  raw ids, best first; -1 where there are fewer than K items
         scores         float32 [B, K]  the model's own scale, falling; -inf beside -1
         fallback       bool [B, 1]   true: no item of the session is known, the list is the most popular items

Unknown ids are ignored. Of a longer session the most recent L events count. Items of the session itself may be in the
answer: filter them where that is not wanted. Where a shop's ids are text, the ids on the wire are those of
`vocabulary.parquet` (item_id for item_key); `Client(vocabulary=...)` translates. The hash of an event type ("view") is the
first 63 bits of its BLAKE2b with a digest of 8 bytes, big-endian. An item's category, brand, price and first day are in the
graph: no client sends them.
"""
