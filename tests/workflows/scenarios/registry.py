"""The stories and the paths of domain 5 they walk.

`@scenario` registers a story under its name; `@scenario("X9", timer="timers.lost")` also says which path it
covers and which field of the policy book holds the timer that it crosses. docs/reference/paths.md is made of these.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple, overload

from tests.workflows.world import Case, World

Story = Callable[[World], Awaitable[Case]]


class Covered(NamedTuple):
    """One story: which paths (X1 to X30), which fields of the book hold its timers, the module it is in."""

    run: Story
    paths: tuple[str, ...] = ()
    timers: tuple[str, ...] = ()

    @property
    def says(self) -> str:
        """The first paragraph of the story's docstring: the outcome, for people."""
        return " ".join((self.run.__doc__ or "").strip().partition("\n\n")[0].split())


SCENARIOS: dict[str, Covered] = {}


@overload
def scenario(first: Story) -> Story: ...
@overload
def scenario(first: str, *paths: str, timer: str | tuple[str, ...] = ()) -> Callable[[Story], Story]: ...
def scenario(first: Story | str, *paths: str, timer: str | tuple[str, ...] = ()) -> Story | Callable[[Story], Story]:
    """Register under the function's name, with the paths it covers and the book's fields of the timers it crosses."""
    timers = (timer,) if isinstance(timer, str) else timer

    def register(run: Story) -> Story:
        if run.__name__ in SCENARIOS:
            raise ValueError(f"two stories are called {run.__name__}")
        covered = () if callable(first) else (first, *paths)
        SCENARIOS[run.__name__] = Covered(run, covered, timers)
        return run

    return register(first) if callable(first) else register
