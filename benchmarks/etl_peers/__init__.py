"""The peers of benchmarks/etl.py, each a script: `python <peer>.py <days> <out>`; see benchmarks/etl.py for the work."""
