"""Stage 1: is the return allowed, and who says so? Domain 4.1, 4.6, X1, X13."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

from activities.contract import JudgeCase
from activities.declarations import judge_case
from backhaul.case import Region
from backhaul.facts import Party, digest
from workflows.case_run import CaseRun
from workflows.desk import Reminder
from workflows.stages.notices import notify, remind


async def judge(run: CaseRun) -> None:
    """Read the facts once and judge the request by the rules. An order that is not known fails the start."""
    judgement = await run.step(
        judge_case,
        JudgeCase(
            request=run.request,
            request_hash=digest(run.request),
            workflow_id=workflow.info().workflow_id,
            requested_at=workflow.now(),
        ),
    )
    run.begin(judgement)
    run.tell(f"opened: {judgement.outcome}", Party.CONSUMER)


async def authorize(run: CaseRun) -> bool:
    """May the goods come back? False ends the case: declined, or withdrawn while the merchant looked at it."""
    match run.judged.outcome:
        case "authorized":
            run.regions.to(Region.AUTHORIZATION, "authorized")
            return True
        case "merchant_review":
            return await _merchant_review(run)
        case "referred":
            return await _arbitrate(run, "the rules refer the request to a human")
        case _:
            run.regions.to(Region.AUTHORIZATION, "declined")
            return False


async def _merchant_review(run: CaseRun) -> bool:
    """X1: reminded once, then the merchant's silence authorizes."""
    mail, terms = run.mail, run.judged.terms
    silence, reminder = timedelta(seconds=terms.merchant_silence_s), timedelta(seconds=terms.merchant_reminder_s)
    told = await notify(run, Party.MERCHANT, "review_request", workflow.now() + silence)
    answered = await run.wait(
        Party.MERCHANT,
        "merchant_review",
        told + silence,
        lambda: bool(mail.authorize or mail.decline or mail.withdraw),
        reminders=[Reminder(told + reminder, lambda: remind(run, Party.MERCHANT, "review_reminder"))],
    )
    if mail.withdraw is not None:
        run.regions.to(Region.AUTHORIZATION, "withdrawn")
        return False
    if mail.decline is not None:
        run.tell(f"declined: {mail.decline.reason}", Party.MERCHANT)
        return await _escalation(run)
    run.tell("authorized" if answered else "authorized by silence", Party.MERCHANT if answered else Party.PLATFORM)
    run.regions.to(Region.AUTHORIZATION, "authorized")
    return True


async def _escalation(run: CaseRun) -> bool:
    """X13: a refusal stands unless the consumer escalates it in time."""
    run.regions.to(Region.AUTHORIZATION, "declined")
    due = workflow.now() + timedelta(seconds=run.judged.terms.escalation_s)
    if not await run.wait(Party.CONSUMER, "escalation", due, lambda: run.mail.escalate is not None):
        return False
    return await _arbitrate(run, "the consumer escalated the merchant's refusal")


async def _arbitrate(run: CaseRun, headline: str) -> bool:
    run.mail.forget_decisions()
    await run.park(
        "arbitration_needed",
        headline,
        step="authorize",
        freed=lambda: run.mail.ruling is not None,
        within_s=run.judged.terms.ruling_s,
    )
    ruling, run.mail.ruling = run.mail.ruling, None
    allowed = ruling is not None and ruling.outcome == "authorize"
    run.tell(f"ruled: {'authorize' if allowed else 'uphold the refusal'}", Party.OPERATOR)
    run.regions.to(Region.AUTHORIZATION, "authorized" if allowed else "declined")
    return allowed
