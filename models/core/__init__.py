"""What models share: torch, numpy and pydantic only; no files, no clock, no services."""
