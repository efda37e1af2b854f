"""MLflow's webhooks: the server tells an address at once that a tag or an alias of a version has changed."""

from __future__ import annotations

from pipelines.stores import registry
from pipelines.stores.settings import settings

NAME = "nextclick-watch"
EVENTS = ("model_version_tag.set", "model_version_alias.created")


def subscribe(url: str, secret: str) -> bool:
    """The one webhook of this platform points to this address, signed with this secret.

    returns  False where the server keeps no webhooks (a database file without a server, an MLflow before 3.3)
    """
    if not settings().mlflow_uri.startswith("http"):
        return False
    with registry.service() as client:
        if not hasattr(client, "create_webhook"):
            return False
        for old in client.list_webhooks(max_results=100):
            if old.name == NAME:
                client.delete_webhook(old.webhook_id)
        client.create_webhook(name=NAME, url=url, events=list(EVENTS), secret=secret, status="ACTIVE")
    return True
