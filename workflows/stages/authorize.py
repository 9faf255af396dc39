"""Stage 1: is the return allowed, and who says so? Domain 4.1, 4.6, X1, X2, X13, X29."""

from __future__ import annotations

from temporalio import workflow

from activities.contract import JudgeCase
from activities.declarations import judge_case
from backhaul.case import Region
from backhaul.disputes import Question
from backhaul.facts import Party, digest
from workflows.case_run import CaseRun
from workflows.stages.notices import ask, remind
from workflows.stages.ruling import dispute


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
        case "info_requested":
            return await _information(run) and await _merchant_review(run, "info_answered")
        case "referred":
            return await _arbitrate(run, "the rules refer the request to a human", heard=False)
        case _:
            run.regions.to(Region.AUTHORIZATION, "declined")
            return False


async def _merchant_review(run: CaseRun, about: str = "") -> bool:
    """X1, X29: reminded once, then the merchant's silence authorizes. X2: they may ask the consumer first, once; with
    the answer their time starts anew."""
    mail, terms = run.mail, run.judged.terms

    def said() -> bool:
        return bool(mail.authorize or mail.decline or mail.withdraw or run.asking)

    if run.request.remedy.is_return:
        about, seconds = about or "review_request", terms.merchant_silence_s
        reminders = {"review_reminder": terms.merchant_reminder_s}
    else:
        about, seconds, reminders = "refund_only_request", terms.refund_only_s, {}
    while True:
        answered = await ask(
            run,
            Party.MERCHANT,
            about,
            "merchant_review",
            seconds,
            said,
            reminders=reminders,
        )
        if mail.withdraw is not None:
            return _withdrawn(run)
        if not run.asking:
            break
        if not await _information(run):
            return False
        about = "info_answered"
    if mail.decline is not None:
        run.tell(f"declined: {mail.decline.reason}", Party.MERCHANT)
        return await (_escalation(run) if run.request.remedy.is_return else _money_refused(run))
    run.tell("authorized" if answered else "authorized by silence", Party.MERCHANT if answered else Party.PLATFORM)
    run.regions.to(Region.AUTHORIZATION, "authorized")
    return True


async def _information(run: CaseRun) -> bool:
    """X2: the consumer's silence on a question expires the case. True: they answered."""
    mail = run.mail
    run.regions.to(Region.AUTHORIZATION, "info_requested")
    answered = await ask(
        run,
        Party.CONSUMER,
        "info_request",
        "info_answer",
        run.judged.terms.info_answer_s,
        lambda: bool(mail.information or mail.withdraw),
    )
    run.asking, mail.information = False, None
    if mail.withdraw is not None:
        return _withdrawn(run)
    if not answered:
        run.regions.to(Region.AUTHORIZATION, "expired")
        run.tell("expired: the question was not answered", Party.PLATFORM)
        return False
    run.regions.to(Region.AUTHORIZATION, "requested")
    return True


def _withdrawn(run: CaseRun) -> bool:
    run.regions.to(Region.AUTHORIZATION, "withdrawn")
    return False


async def _escalation(run: CaseRun) -> bool:
    """X13: a refusal stands unless the consumer escalates it in time."""
    run.regions.to(Region.AUTHORIZATION, "declined")
    escalated = await ask(
        run,
        Party.CONSUMER,
        "request_refused",
        "escalation",
        run.judged.terms.escalation_s,
        lambda: run.mail.escalate is not None,
    )
    if not escalated:
        return False
    return await _arbitrate(run, "the consumer escalated the merchant's refusal")


async def _money_refused(run: CaseRun) -> bool:
    """X29: a refused refund without return goes to the platform where the book lets it force one; by later books the
    refusal is final, and the consumer may return the goods instead."""
    run.regions.to(Region.AUTHORIZATION, "declined")
    if run.judged.platform:
        return await _arbitrate(run, "the merchant refused a refund without return, which the platform may grant")
    await remind(run, Party.CONSUMER, "refund_only_refused")
    return False


async def _arbitrate(run: CaseRun, headline: str, *, heard: bool = True) -> bool:
    """A human decides on the request. Where nobody disputes anything (`heard` false), no side is asked for evidence."""
    found = await dispute(run, Question.AUTHORIZATION, headline, evidence_s=None if heard else 0)
    allowed = found is not None and found.outcome == "authorize"
    run.regions.to(Region.AUTHORIZATION, "authorized" if allowed else "declined")
    return allowed
