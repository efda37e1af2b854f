import json

import pytest
import yaml

from pipelines.errors import ParamsError
from pipelines.stores.settings import ROOT
from pipelines.workspace import overrides

VALUES = yaml.safe_load((ROOT / "params.yaml").read_text())


def test_a_value_of_the_form_replaces_the_default() -> None:
    changed = overrides.apply(VALUES, json.dumps({"split.valid_days": 3}))
    assert changed["split"]["valid_days"] == 3
    assert VALUES["split"]["valid_days"] == 1


def test_the_forms_own_values_change_nothing() -> None:
    assert overrides.apply(VALUES, "{}") == VALUES


def test_a_whole_number_from_a_browser_is_the_same_setting() -> None:
    """JavaScript writes 100000.0 as 100000; to DVC, which compares texts, that would be another setting."""
    assert isinstance(VALUES["validate"]["max_price"], float)
    sent = {"validate.max_price": int(VALUES["validate"]["max_price"]), "zoo.gru4rec.logq": 1, "events.simulate.days": 14}
    changed = overrides.apply(VALUES, json.dumps(sent))
    assert yaml.safe_dump(changed) == yaml.safe_dump(overrides.apply(VALUES, "{}"))
    assert isinstance(changed["events"]["simulate"]["days"], int)


def test_an_unknown_setting_is_named_with_the_nearest_right_one() -> None:
    with pytest.raises(ParamsError) as raised:
        overrides.apply(VALUES, json.dumps({"split.valid_day": 3}))
    assert "split.valid_day'" in raised.value.what
    assert "did you mean 'split.valid_days'" in raised.value.next_step


def test_a_value_out_of_bounds_names_key_value_and_bound() -> None:
    with pytest.raises(ParamsError) as raised:
        overrides.apply(VALUES, json.dumps({"split.test_days": 0, "split.by": "weeks"}))
    assert "split.test_days = 0: Input should be greater than 0" in raised.value.where
    assert "split.by = 'weeks'" in raised.value.where


def test_a_mistyped_key_in_params_yaml_is_named() -> None:
    wrong = {**VALUES, "split": {**VALUES["split"], "vaild_days": 2}}
    with pytest.raises(ParamsError) as raised:
        overrides.apply(wrong, "{}")
    assert "split.vaild_days: there is no such setting" in raised.value.where
    assert "did you mean 'valid_days'" in raised.value.next_step


def test_text_that_is_not_json() -> None:
    with pytest.raises(ParamsError, match="not JSON"):
        overrides.apply(VALUES, "{'a': 1}")
