"""The peers of benchmarks/training.py, each a script: `python <peer>.py <job.json>`; see benchmarks/training.py for the work.

A peer's script runs in that peer's own environment and knows nothing of nextclick. It prints JSON lines: {"imports": …} when
its imports are done, {"epoch": …} after every epoch, {"done": …} at the end. Times are of training alone.
"""
