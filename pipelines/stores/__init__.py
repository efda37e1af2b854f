"""The outside world behind one door each: parquet and tensors on disk, MLflow, Triton."""
