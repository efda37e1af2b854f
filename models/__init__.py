"""One file per model; the file name is the model's name. Shared parts are in `models.core`."""
