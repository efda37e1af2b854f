"""What a person reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipelines.gate import decision, plots
from pipelines.gate.changes import Changes
from pipelines.gate.evidence import Comparison, Slice, Verdict
from pipelines.gate.work import finite
from tests.pipelines.gate.evidence import ALONE, GATE, GOOD, difference

VERDICTS = {"a_rule": Verdict(True, "fine"), "b_rule": Verdict(False, "why")}


def test_one_no_is_named_in_the_summary() -> None:
    assert decision.summary(GOOD, VERDICTS, 7) == "version 7 (gru4rec), against version 3: no, because of b_rule"
    assert decision.summary(ALONE, {"a": VERDICTS["a_rule"]}, 7) == "version 7 (gru4rec), no champion yet: yes, all 1 rules pass"


def test_the_table_shows_refusals_first_then_models_then_the_worst_slices() -> None:
    parts = [Slice("day", f"d{n}", 500, difference(share=share, lower=-0.3)) for n, share in enumerate((0.1, -0.2))]
    evidence = replace(GOOD, comparison=Comparison(difference(), (*parts, Slice("category", "toys", 12, None))))
    lines = decision.table(evidence, VERDICTS).splitlines()
    assert lines[2:4] == ["| b_rule | **no** | why |", "| a_rule | yes | fine |"]
    assert lines[7].startswith("| **gru4rec** (challenger) | 0.2000 | - | - | 0.8000 | 0.6000 | 0.1000 |")
    assert lines[9].startswith("| champion (version 3) | 0.1900 |")
    assert lines[-2:] == [
        "| day d1: 0.1600 | -20.0% | -30.0% to +10.0% | 500 |",
        "| day d0: 0.2200 | +10.0% | -30.0% to +10.0% | 500 |",
    ]
    assert "slices" not in decision.table(ALONE, VERDICTS)


def test_changes_are_told_or_it_is_told_that_they_are_not_known() -> None:
    told = decision.told(Changes({"train.seed": (1, 2)}, {"events.train": (1000, None)}), 3)
    assert "- `train.seed`: 1 → 2" in told
    assert "- `events.train`: 1,000 → none" in told
    assert decision.told(Changes({}, {}), 3).count("- no change") == 2
    assert "is not known: it has none" in decision.told(Changes({}, {}, "it has none"), 3)
    assert "No champion yet" in decision.told(None, None)
    many = decision.told(Changes({f"s.{n}": (n, n + 1) for n in range(30)}, {}), 3)
    assert "and 18 more, see decision.json" in many


def test_a_description_fits_the_databases_of_mlflow_and_keeps_the_decision() -> None:
    assert decision.page("card", "line", "body", "changes") == "# Decision\n\nline\n\nbody\n\nchanges\n\n---\n\ncard"
    assert decision.page("card", "line", "body", "c" * 5000) == "# Decision\n\nline\n\nbody\n\n---\n\ncard"
    sections = f"# sasrec\n\n- Items: 40\n\n## Settings\n\n{'s' * 4700}"
    assert decision.page(sections, "line", "body", "changes").startswith(
        "# Decision\n\nline\n\nbody\n\n---\n\n# sasrec\n\n- Items: 40\n\nThe"
    )
    long = decision.page("c" * 4700, "line", "body", "changes")
    assert long.startswith("# Decision\n\nline\n\nbody\n")
    assert long.endswith("The card is card.md, in the version's artifacts.\n")
    assert len(decision.page("card", "l" * 6000, "body", "changes")) == decision.LONGEST


def test_the_picture_is_drawn_of_bounded_and_of_boundless_gains(tmp_path: Path) -> None:
    slices = (Slice("day", "d", 9, None), Slice("category", "new", 200, difference(share=float("inf"), lower=float("inf"))))
    for side in ("not_worse", "better"):
        path = tmp_path / f"{side}.png"
        plots.intervals(Comparison(difference(), slices), GATE.model_copy(update={"side": side}), 3, path)
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_numbers_without_bound_are_written_as_text() -> None:
    assert finite({"a": [float("inf"), 1.5], "b": (float("nan"),)}) == {"a": ["inf", 1.5], "b": ["nan"]}
