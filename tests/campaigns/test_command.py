"""The command that lives campaigns: what it prints, what it writes, how it ends."""

import pytest

from tests.campaigns import __main__ as command
from tests.campaigns.figures import Figures, Violation

PAGE = f"# Reliability\n\n{command.BEGIN}\n\n| old |\n\n{command.END}\n\nThe end.\n"


def quiet(count, seed):
    faults = {"reset": seed, "refused": 2_000, "never met": 0}
    return Figures("quiet", count, "lives", faults, (), 12.4)


def broken(count, seed):
    violations = [Violation("broken", seed, "an episode was lost")]
    return Figures("broken", count, "lives", {}, violations, 1.0)


@pytest.fixture(autouse=True)
def campaigns(monkeypatch):
    registry = {name: command.Campaign(__name__, name, 7, "lives") for name in ("quiet", "broken")}
    monkeypatch.setattr(command, "CAMPAIGNS", registry)


def test_a_campaign_that_keeps_every_promise_ends_with_0(capsys):
    assert command.main(["quiet", "--seed", "3"]) == 0
    said = capsys.readouterr().out
    assert "quiet: 7 lives from seed 3" in said
    assert "| quiet | 7 lives | 3 | refused 2,000, reset 3 | 0 | 12 |" in said


def test_a_violation_ends_with_1_and_names_the_command_that_repeats_it(capsys):
    assert command.main(["broken", "--seed", "3", "--count", "2"]) == 1
    said = capsys.readouterr().out
    assert "an episode was lost" in said
    assert "python -m tests.campaigns broken --seed 3 --count 1" in said
    assert "| broken | 2 lives | 3 | none | 1 | 1 |" in said


def test_without_names_all_are_lived_from_one_seed_that_is_printed(capsys):
    assert command.main([]) == 1
    seeds = [line.rpartition(" ")[2] for line in capsys.readouterr().out.splitlines()[:2]]
    assert seeds[0] == seeds[1]
    assert seeds[0].isdigit()


def test_a_name_that_is_no_campaign_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(["unknown"])
    assert "there are quiet, broken" in capsys.readouterr().err


def test_each_row_takes_its_place_between_the_marks_and_the_others_stay(tmp_path):
    page = tmp_path / "reliability.md"
    page.write_text(PAGE)
    command.main(["broken", "--seed", "3", "--write", str(page)])
    command.main(["quiet", "--seed", "3", "--write", str(page)])
    command.main(["broken", "--seed", "4", "--write", str(page)])
    text = page.read_text()
    assert "| old |" not in text
    assert text.startswith(f"# Reliability\n\n{command.BEGIN}\n\n| campaign |")
    assert text.endswith(
        "| quiet | 7 lives | 3 | refused 2,000, reset 3 | 0 | 12 |\n"
        f"| broken | 7 lives | 4 | none | 1 | 1 |\n\n{command.END}\n\nThe end.\n"
    )


def test_a_page_without_marks_is_left_as_it_is(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="expected <!-- figures -->"):
        command.main(["quiet", "--write", str(page)])
    assert page.read_text() == "no marks"
