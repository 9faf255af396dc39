"""docs/reference/paths.md has a row for every story, and a story for every path. Each story checks its own row."""

from __future__ import annotations

import pytest

from tests.workflows import paths
from tests.workflows.scenarios import SCENARIOS


def test_the_page_is_current() -> None:
    journals = paths.written()
    assert set(journals) == set(SCENARIOS), "run make histories"
    assert paths.page(journals) == paths.PAGE.read_text(), "run make histories"


@pytest.mark.parametrize("path", paths.PATHS)
def test_every_path_has_a_story(path: str) -> None:
    assert [name for name, covered in SCENARIOS.items() if path in covered.paths], path


def test_stories_name_paths_and_fields_that_exist() -> None:
    for name, covered in SCENARIOS.items():
        assert set(covered.paths) <= set(paths.PATHS), name
        for timer in covered.timers:
            assert paths.field(timer)
