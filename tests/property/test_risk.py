"""The risk rules are monotone: more of anything bad is never milder, and the rules dominate the score."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from backhaul.facts import CaseFacts, Risk, RiskProfile
from backhaul.policy.library import load_library
from backhaul.policy.risk import ORDER, risk
from tests.unit.policy.build import consumer, facts

NEW = load_library().by_version("2025-09")
WORSE = ("returns", "claims", "swaps", "self_ships", "shared_address")
counts = st.integers(min_value=0, max_value=200)
profiles = st.builds(
    RiskProfile,
    since=st.just(datetime(2025, 9, 1, tzinfo=UTC)),
    orders=counts,
    returns=counts,
    claims=st.integers(0, 12),
    swaps=st.integers(0, 5),
    self_ships=st.integers(0, 12),
    shared_address=st.integers(0, 10),
)


def strictness(profile: RiskProfile, signal: Risk, frozen: bool) -> int:
    case: CaseFacts = facts(consumer=consumer(risk=signal, frozen=frozen)).model_copy(update={"profile": profile})
    return ORDER.index(Risk(risk(case, NEW).outcome))


@given(profiles, st.sampled_from(list(Risk)), st.booleans(), st.sampled_from(WORSE), st.integers(1, 50))
def test_more_of_anything_is_never_milder(
    profile: RiskProfile, signal: Risk, frozen: bool, what: str, more: int
) -> None:
    worse = profile.model_copy(update={what: getattr(profile, what) + more})
    assert strictness(worse, signal, frozen) >= strictness(profile, signal, frozen)


@given(profiles, st.sampled_from(list(Risk)), st.booleans(), st.integers(1, 200))
def test_more_orders_are_never_stricter(profile: RiskProfile, signal: Risk, frozen: bool, more: int) -> None:
    better = profile.model_copy(update={"orders": profile.orders + more})
    assert strictness(better, signal, frozen) <= strictness(profile, signal, frozen)


@given(profiles, st.sampled_from(list(Risk)), st.booleans())
def test_signal_frost_and_rules_dominate_the_score(profile: RiskProfile, signal: Risk, frozen: bool) -> None:
    found = strictness(profile, signal, frozen)
    assert found >= ORDER.index(signal)
    assert found >= strictness(profile, Risk.ALLOW, False)
    assert not frozen or found >= ORDER.index(Risk.STEP_UP)
    assert NEW.risk is not None
    if profile.swaps >= NEW.risk.deny_swaps:
        assert found == ORDER.index(Risk.DENY)
    elif signal is not Risk.DENY:
        assert found < ORDER.index(Risk.DENY)  # no score refuses cover
