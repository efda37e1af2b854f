"""A trained model as two files: `weights.safetensors`, and `model.json` that says what the weights belong to.

`model.json` holds the name, the settings, what the model knows of the data, and what its columns mean (meanings.py).
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from models.core import registry
from models.core.base import Features, SessionModel
from pipelines.errors import DataError, nearest
from pipelines.paths import ETL
from pipelines.stores import meanings
from pipelines.stores.meanings import Meaning
from pipelines.stores.sessions import read_json

WEIGHTS = "weights.safetensors"
CARD = "model.json"

AGAIN = "train the model again (dvc repro --force train@<model>), or restore both files together"


class Card(BaseModel):
    """What `model.json` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    config: dict[str, object]
    features: Features
    columns: dict[str, Meaning] = {}
    """What the columns mean that the model reads beside the item."""


def save(name: str, model: SessionModel, folder: Path, etl: Path = ETL) -> None:
    """Write both files; the same weights give the same bytes. etl: the data whose columns the model has learned."""
    folder.mkdir(parents=True, exist_ok=True)
    card = {"name": name, "config": model.config.model_dump(mode="json"), "features": model.features.model_dump(mode="json")}
    if names := model.columns(model.config):
        learned = meanings.read(names, read_json(etl / "schema.json")["columns"], etl)
        card["columns"] = {column: meaning.model_dump(mode="json", exclude_defaults=True) for column, meaning in learned.items()}
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    save_file(tensors, folder / WEIGHTS)
    (folder / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def read_card(folder: Path) -> Card:
    """Name, settings and features. DataError if `model.json` is absent or broken."""
    path = folder / CARD
    try:
        return Card.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise DataError("there is no trained model", str(path), f"python -m pipelines train {folder.name}") from None
    except ValidationError as error:
        raise DataError(f"{CARD} is broken", f"{path}: {_problems(error)}", AGAIN) from None


def load(folder: Path) -> SessionModel:
    """The model, on the CPU, ready to score. DataError if a file is absent, broken, or the two disagree."""
    card, path = read_card(folder), folder / WEIGHTS
    if card.name not in registry.names():
        raise DataError(f"{CARD} names an unknown model {card.name!r}", str(folder / CARD), nearest(card.name, registry.names()))
    kind = registry.find(card.name)
    try:
        model = kind(kind.Config.model_validate(card.config), card.features)
    except ValidationError as error:
        raise DataError(
            f"the settings do not fit the model {card.name!r}", f"{folder / CARD}: {_problems(error)}", AGAIN
        ) from None
    if unknown := set(model.columns(model.config)) - set(card.columns):
        what = f"{CARD} does not say what the columns {', '.join(sorted(unknown))} mean"
        raise DataError(what, str(folder / CARD), AGAIN)
    try:
        model.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise DataError("the weights are not there", str(path), AGAIN) from None
    except (SafetensorError, OSError) as error:
        raise DataError("the weights cannot be read", f"{path}: {error}", AGAIN) from None
    except RuntimeError as error:  # torch's word for names or shapes that disagree
        raise DataError(f"the weights do not fit {CARD}", f"{path}: {' '.join(str(error).split())}", AGAIN) from None
    return model.eval()


def _problems(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors())
