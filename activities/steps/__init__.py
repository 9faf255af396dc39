"""The case's own steps: one transaction in our database each. What they mean is in activities.declarations."""

from __future__ import annotations

from activities.steps.case_steps import CaseSteps

__all__ = ["CaseSteps"]
