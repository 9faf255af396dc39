"""Approvals and rulings: what people decided under their own identity. Domain 6, invariant 13; architecture 3.9."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.disputes import Question, appeal_refusal
from backhaul.errors import Refusal, Rejected
from backhaul.facts import BookRef, LiabilityShare, LineFinding, Party, digest
from backhaul.ids import CaseId, parse_case_key
from backhaul.messages import Appeal, Approval, CreateAppeal, CreateRuling, PrepareApproval, Ruling
from backhaul.money import Money
from store import cases
from store.sql import insert_once
from store.tables import AppealRow, ApprovalRow, CaseRow, DecisionRow, RulingRow


def binding(case_key: str, subject: str, amount: Money, payee: str) -> str:
    """What an approval is for, as one hash: it fits nothing else."""
    return digest(
        {
            "case": case_key,
            "subject": subject,
            "minor": amount.minor,
            "currency": amount.currency,
            "payee": payee,
        }
    )


def merchant_key(merchant_id: str) -> str:
    """In place of a case's key: what is approved concerns a merchant, or the platform, and no case."""
    return f"{merchant_id}/"


def _key(merchant_id: str, rma_id: str | None) -> str:
    return merchant_key(merchant_id) if rma_id is None else CaseId(merchant_id, rma_id).key


async def prepare_approval(
    session: AsyncSession, approval_id: str, request: PrepareApproval, prepared_by: str, at: datetime
) -> Approval:
    """Keep what somebody puts before a second person. The same again is the same one, approved by now or not.

    Raises Refusal(`approval_mismatch`) where the id stands for another one."""
    case_key = _key(request.merchant_id, request.rma_id)
    row = ApprovalRow(
        approval_id=approval_id,
        case_key=case_key,
        subject=request.subject,
        amount_minor=request.amount.minor,
        currency=request.amount.currency,
        payee=request.payee,
        prepared_by=prepared_by,
        note=request.note,
        binding=binding(case_key, request.subject, request.amount, request.payee),
        at=at,
    )
    if await insert_once(session, row):
        return _approval_of(row)
    kept = await _approval(session, approval_id)
    if (kept.binding, kept.prepared_by) != (row.binding, prepared_by):
        raise Refusal("approval_mismatch", "this id stands for another approval", field="approval_id")
    return _approval_of(kept)


async def approve(session: AsyncSession, approval_id: str, approved_by: str) -> Approval:
    """The second person's yes. The same person again is no change.

    Raises Refusal(`same_person`) for whoever prepared it, Rejected(`approval_unknown`), Refusal(`already_decided`) once
    another person approved it."""
    row = await _approval(session, approval_id)
    if row.prepared_by == approved_by:
        raise Refusal("same_person", field="approval_id")
    mine = (col(ApprovalRow.approval_id) == approval_id, col(ApprovalRow.approved_by).is_(None))
    await session.exec(update(ApprovalRow).where(*mine).values(approved_by=approved_by))
    row = await _approval(session, approval_id)
    if row.approved_by != approved_by:
        raise Refusal("already_decided", "another person approved it", field="approval_id")
    return _approval_of(row)


async def _approval(session: AsyncSession, approval_id: str) -> ApprovalRow:
    statement = select(ApprovalRow).where(ApprovalRow.approval_id == approval_id)
    row = (await session.exec(statement.execution_options(populate_existing=True))).first()
    if row is None:
        raise Rejected("approval_unknown", field="approval_id")
    return row


async def find_approval(session: AsyncSession, approval_id: str) -> Approval:
    """An approval. Raises Rejected(`approval_unknown`)."""
    return _approval_of(await _approval(session, approval_id))


async def consume(
    session: AsyncSession,
    approval_id: str,
    *,
    case_key: str,
    subject: str,
    amount: Money,
    payee: str,
    by: str,
    at: datetime,
) -> None:
    """Use an approval for the one thing it is bound to, once; the same user again is no second use.

    Raises Rejected(`approval_unknown`, `approval_mismatch`, `approval_used`), Rejected(`approval_required`) while it
    is prepared only, Rejected(`same_person`) where one person wrote both names."""
    row = await _approval(session, approval_id)
    if row.approved_by is None:
        raise Rejected("approval_required", "nobody has approved it yet", field="approval_id")
    if row.approved_by == row.prepared_by:
        raise Rejected("same_person", field="approval_id")
    # Bound to what is written in the row, not to a hash that somebody wrote beside it.
    written = binding(row.case_key, row.subject, Money(minor=row.amount_minor, currency=row.currency), row.payee)
    if not row.binding == written == binding(case_key, subject, amount, payee):
        raise Rejected("approval_mismatch", field="approval_id")
    used = await session.exec(
        update(ApprovalRow)
        .where(col(ApprovalRow.approval_id) == approval_id, col(ApprovalRow.used_at).is_(None))
        .values(used_at=at, used_by=by)
    )
    if used.rowcount != 1 and (await _approval(session, approval_id)).used_by != by:
        raise Rejected("approval_used", field="approval_id")


def _approval_of(row: ApprovalRow) -> Approval:
    merchant_id, _, rma_id = row.case_key.partition("/")
    return Approval(
        approval_id=row.approval_id,
        merchant_id=merchant_id,
        rma_id=rma_id or None,
        subject=row.subject,
        amount=Money(minor=row.amount_minor, currency=row.currency),
        payee=row.payee,
        prepared_by=row.prepared_by,
        approved_by=row.approved_by,
        binding=row.binding,
        used=row.used_at is not None,
    )


async def create_ruling(
    session: AsyncSession, ruling_id: str, request: CreateRuling, ruled_by: str, at: datetime
) -> Ruling:
    """Keep a ruling, with the facts that the case was last decided on and its policy book (invariant 13).

    The same again is the same ruling. Raises Refusal(`ruling_mismatch`) where the id stands for another one, or it
    overrules another case's; Refusal(`same_reviewer`) where the reviewer would overrule themselves;
    Refusal(`line_unknown`) for findings on lines that are not returned."""
    case_key = CaseId(request.merchant_id, request.rma_id).key
    if request.overrules is not None:
        await _check_overrules(session, case_key, request.overrules, ruled_by)
    await _check_lines(session, case_key, request)
    findings = None
    if request.findings is not None:
        findings = [one.model_dump(mode="json") for one in request.findings]
    facts_hash, book = await _decided_on(session, case_key)
    row = RulingRow(
        ruling_id=ruling_id,
        case_key=case_key,
        decides=request.decides,
        outcome=request.outcome,
        findings=findings,
        shares=[one.model_dump(mode="json") for one in request.shares] or None,
        reason=request.reason,
        ruled_by=ruled_by,
        overrules=request.overrules,
        facts_hash=facts_hash,
        book_version=book.version if book else None,
        book_hash=book.hash if book else None,
        at=at,
    )
    ruling = _ruling_of(row)
    if not await insert_once(session, row):
        kept = await find_ruling(session, ruling_id)
        if _words(kept) != _words(ruling):
            raise Refusal("ruling_mismatch", "this id stands for another ruling", field="ruling_id")
        return kept
    return ruling


async def _check_lines(session: AsyncSession, case_key: str, request: CreateRuling) -> None:
    ours = await cases.lines_of(session, case_key)
    for field, findings in (
        ("findings", request.findings or ()),
        *(("shares", one.findings) for one in request.shares),
    ):
        if ours and any(one.line_id not in ours for one in findings):
            raise Refusal("line_unknown", "the return has no such line", field=field)


async def _check_overrules(session: AsyncSession, case_key: str, overruled: str, ruled_by: str) -> None:
    """The ruling that is appealed against is of this case, and another reviewer's (X15)."""
    try:
        before = await find_ruling(session, overruled, case_key)
    except Rejected as error:
        raise Refusal(error.code, field="overrules") from None
    if before.ruled_by == ruled_by:
        raise Refusal("same_reviewer", field="overrules")


async def _decided_on(session: AsyncSession, case_key: str) -> tuple[str | None, BookRef | None]:
    """The facts of the case's last decision, and its book."""
    last = select(DecisionRow.facts_hash).where(DecisionRow.case_key == case_key)
    facts_hash = (await session.exec(last.order_by(col(DecisionRow.seq).desc()).limit(1))).first()
    row = (await session.exec(select(CaseRow).where(CaseRow.case_key == case_key))).first()
    return facts_hash, None if row is None else BookRef(version=row.book_version, hash=row.book_hash)


def _words(ruling: Ruling) -> Ruling:
    """What a reviewer said, without when, on what, and when it was told."""
    return ruling.model_copy(update={"at": None, "told_at": None, "facts_hash": None, "book": None})


async def find_ruling(session: AsyncSession, ruling_id: str, case_key: str | None = None) -> Ruling:
    """A ruling, of this case if one is named. Raises Rejected(`ruling_unknown`, `ruling_mismatch`)."""
    row = (await session.exec(select(RulingRow).where(RulingRow.ruling_id == ruling_id))).first()
    if row is None:
        raise Rejected("ruling_unknown", field="ruling_id")
    if case_key is not None and row.case_key != case_key:
        raise Rejected("ruling_mismatch", field="ruling_id")
    return _ruling_of(row)


async def note_told(session: AsyncSession, ruling_id: str, case_key: str, at: datetime) -> datetime:
    """Keep when both sides were told of a ruling; the first time stays, and is answered.

    Raises Rejected(`ruling_unknown`, `ruling_mismatch`)."""
    await find_ruling(session, ruling_id, case_key)
    untold = (col(RulingRow.ruling_id) == ruling_id, col(RulingRow.told_at).is_(None))
    await session.exec(update(RulingRow).where(*untold).values(told_at=at))
    statement = select(RulingRow.told_at).where(RulingRow.ruling_id == ruling_id)
    return (await session.exec(statement)).one() or at


async def rulings_of(session: AsyncSession, case_key: str) -> tuple[Ruling, ...]:
    """Every ruling on a case, in the order made."""
    found = select(RulingRow).where(RulingRow.case_key == case_key)
    rows = await session.exec(found.order_by(col(RulingRow.at), col(RulingRow.ruling_id)))
    return tuple(_ruling_of(row) for row in rows)


def _ruling_of(row: RulingRow) -> Ruling:
    case = parse_case_key(row.case_key)
    findings = None
    if row.findings is not None:
        findings = tuple(LineFinding.model_validate(one) for one in row.findings)
    return Ruling(
        ruling_id=row.ruling_id,
        merchant_id=case.merchant_id,
        rma_id=case.rma_id,
        decides=row.decides,
        outcome=row.outcome,
        findings=findings,
        shares=tuple(LiabilityShare.model_validate(one) for one in row.shares or ()),
        reason=row.reason,
        ruled_by=row.ruled_by,
        overrules=row.overrules,
        facts_hash=row.facts_hash,
        book=BookRef(version=row.book_version, hash=row.book_hash or "") if row.book_version else None,
        at=row.at,
        told_at=row.told_at,
    )


# ---- appeals ---------------------------------------------------------------------------------------------------------


async def create_appeal(
    session: AsyncSession,
    case_key: str,
    request: CreateAppeal,
    by: Party,
    given_by: str,
    at: datetime,
    within: timedelta,
) -> Appeal:
    """Take an appeal against a ruling on liability: the one that the case goes by, within its time, once a case (X15).
    By which ruling an open case goes only it itself knows, and it is asked next. The same again is the same appeal.

    Raises Refusal(`ruling_unknown`, `ruling_mismatch`, `not_appealable`, `appealed_before`, `appeal_late`)."""
    try:
        ruling = await find_ruling(session, request.ruling_id, case_key)
    except Rejected as error:
        raise Refusal(error.code, field="ruling_id") from None
    if ruling.decides != Question.LIABILITY.value:
        raise Refusal("not_appealable", field="ruling_id")
    if ruling.overrules is not None:
        raise Refusal("appealed_before", field="ruling_id")
    row = AppealRow(
        appeal_id=f"app-{digest({'ruling': request.ruling_id})[:32]}",
        ruling_id=request.ruling_id,
        case_key=case_key,
        by=by.value,
        given_by=given_by,
        reason=request.reason,
        at=at,
    )
    case = (await session.exec(select(CaseRow).where(CaseRow.case_key == case_key).with_for_update())).first()
    known = await find_appeal(session, request.ruling_id)
    if known is None:
        closed = case is not None and case.closed_at is not None
        code = appeal_refusal(
            ruling.ruling_id,
            goes_by(case) if closed else ruling.ruling_id,
            appealed=await _appealed(session, case_key, ruling.ruling_id),
            told_at=ruling.told_at,
            now=at,
            within=within,
        )
        if code is not None:
            raise Refusal(code, field="ruling_id")
        if await insert_once(session, row):
            return _appeal_of(row)
        known = await find_appeal(session, request.ruling_id)
    if known is None or (known.by, known.given_by, known.reason) != (row.by, row.given_by, row.reason):
        raise Refusal("appealed_before", field="ruling_id")
    return _appeal_of(known)


def goes_by(case: CaseRow | None) -> str | None:
    """The ruling on liability that a closed case goes by, as it said at its close."""
    said = None if case is None else (case.status or {}).get("ruling_id")
    return None if said is None else str(said)


async def need_standing(session: AsyncSession, case_key: str, ruling_id: str) -> None:
    """The case has closed while an appeal was on its way: does it go by the ruling appealed against?

    Raises Refusal(`not_appealable`)."""
    case = (await session.exec(select(CaseRow).where(CaseRow.case_key == case_key))).first()
    if goes_by(case) != ruling_id:
        raise Refusal("not_appealable", field="ruling_id")


async def _appealed(session: AsyncSession, case_key: str, ruling_id: str) -> bool:
    """Was another ruling of the case appealed against? What the case did not take was no appeal."""
    others = select(AppealRow.appeal_id).where(
        AppealRow.case_key == case_key, AppealRow.ruling_id != ruling_id, AppealRow.how != ""
    )
    return (await session.exec(others.limit(1))).first() is not None


async def find_appeal(session: AsyncSession, ruling_id: str) -> AppealRow | None:
    """The appeal against a ruling."""
    return (await session.exec(select(AppealRow).where(AppealRow.ruling_id == ruling_id))).first()


async def drop_appeal(session: AsyncSession, ruling_id: str) -> None:
    """Forget an appeal that the case did not take: it was none."""
    await session.exec(delete(AppealRow).where(col(AppealRow.ruling_id) == ruling_id, col(AppealRow.how) == ""))


async def appeal_goes(session: AsyncSession, ruling_id: str, how: str) -> None:
    """Note how an appeal is heard: dispute, kept or correction."""
    await session.exec(update(AppealRow).where(col(AppealRow.ruling_id) == ruling_id).values(how=how))


def _appeal_of(row: AppealRow) -> Appeal:
    return Appeal(appeal_id=row.appeal_id, ruling_id=row.ruling_id, by=Party(row.by), at=row.at, how=row.how)
