"""watch: what the platform looks after between runs. One small process, `python -m infra.watch`.

- Answers that a reviewer gives in MLflow are carried to the run of Airflow that waits (`reviews`). MLflow's webhook says at
  once that a tag or an alias has changed; a look every few seconds finds what no webhook told.
- Triton is asked a real question; where the process behind a model has died, it is started again (`stores.publication.revive`).
- The versions that can be promoted are listed for the form of the DAG `promote` (`listing`).

GET /health on `settings.watch_port` says how the last look went.
"""
