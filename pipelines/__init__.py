"""The river, in order. Stages go from files to files and stand in `dvc.yaml`; actions change a service and do not."""

STAGES = ("events", "validate", "etl", "train", "evaluate")
ACTIONS = ("workspace", "repro", "register", "gate", "review", "promote", "override", "rollback", "schema")
