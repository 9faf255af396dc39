"""The effect of telling somebody: once a key, with its time. Domain 6: deadlines on silence count from the notice."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlmodel.ext.asyncio.session import AsyncSession
from temporalio import activity

from activities.contract import Noticed, SendNotice, TellShortfall
from activities.effects_support import KEY_LIFETIME, Plan, World, answer, case_id, case_key, run
from activities.errors import effect
from backhaul.facts import Party
from backhaul.ids import notice_key, shortfall_notice_key
from backhaul.ledger import CaseRef
from backhaul.money import Money
from backhaul.notices import NOTICES
from gateways.ports import NoticeLetter
from gateways.registry import Gateways
from store.effects import Answer, Clock, Intent
from store.engine import Store
from store.tables import EffectRow


class NoticeActivities:
    """Every notice."""

    def __init__(self, store: Store, gateways: Gateways, clock: Clock | None = None):
        self._world = World(store, gateways) if clock is None else World(store, gateways, clock)

    @activity.defn(name="send_notice")
    @effect
    async def send_notice(self, asked: SendNotice) -> Noticed:
        """Tell a party of a case. Its time is that of the attempt that reached them, by the server's clock, which the
        workflow's timers go by too.

        Idempotency: one effect under `{merchant}:{rma}:notice.{about}:{n}`; a repeat answers the first time.
        Retries: Transient backs off; an unknown or pending notice is looked up by key as the book says (X18).
        Raises: Rejected(`notice_undelivered`) where nobody was told and under this key nobody will be,
        Rejected(`effect_conflict`, `provider_rejected`), Transient, Unknown(`pending`, `provider_unknown`)."""
        done = await run(self._world, notice(self._world, asked, activity.info().started_time))
        return Noticed(key=done.key, at=datetime.fromisoformat(done.result["at"]))

    @activity.defn(name="tell_shortfall")
    @effect
    async def tell_shortfall(self, asked: TellShortfall) -> Noticed:
        """Tell a merchant that a settlement is short (X22). Its time is that of the attempt that reached them.

        Idempotency: one effect under `{batch}:notice.shortfall:{n}`; a repeat answers the first time.
        Retries: Transient backs off; an unknown or pending notice is looked up by key as the book says (X18).
        Raises: as send_notice."""
        done = await run(self._world, shortfall(self._world, asked, activity.info().started_time))
        return Noticed(key=done.key, at=datetime.fromisoformat(done.result["at"]))


def merchant(merchant_id: str) -> str:
    """A merchant, as a token."""
    return f"merchant:{merchant_id}"


def recipient(case: CaseRef, to: Party) -> str:
    """Who is told, as a token: who delivers the notice knows how to reach them."""
    match to:
        case Party.CONSUMER:
            return f"consumer:{case.consumer_ref}"
        case Party.MERCHANT:
            return merchant(case.merchant_id)
        case _:
            return f"{to.value}:{case.merchant_id}"


def notice(world: World, asked: SendNotice, at: datetime) -> Plan:
    """One notice. No money: its amount is nothing, its payee the recipient."""
    case = asked.case
    key = notice_key(case_id(case), asked.about, asked.n, asked.within)
    letter = NoticeLetter(
        recipient=recipient(case, asked.to),
        subject=case_key(case),
        about=asked.about,
        text=NOTICES[asked.about].text,
        due=asked.due,
        amount=asked.amount,
    )

    body = {"case": case.model_dump(mode="json"), "about": asked.model_dump(mode="json", exclude={"case"})}
    return _letter(world, key, letter, at, body, case_key(case))


def shortfall(world: World, asked: TellShortfall, at: datetime) -> Plan:
    """The notice of a shortfall: of no case, about a batch."""
    letter = NoticeLetter(
        recipient=merchant(asked.merchant_id),
        subject=asked.batch,
        about="shortfall",
        text=NOTICES["shortfall"].text,
        due=asked.due,
        amount=asked.amount,
    )
    key = shortfall_notice_key(asked.batch, asked.n)
    return _letter(world, key, letter, at, {"about": asked.model_dump(mode="json")})


def _letter(
    world: World, key: str, letter: NoticeLetter, at: datetime, body: Mapping[str, object], of_case: str | None = None
) -> Plan:
    inbox = world.gateways.notices

    async def send() -> Answer:
        sent = await inbox.send(key, letter)
        return answer(sent.standing, sent.ref, sent.code)

    async def also(session: AsyncSession, row: EffectRow) -> None:
        row.result = {"at": at.isoformat()}
        session.add(row)

    intent = Intent(
        key=key,
        kind="notice",
        provider=inbox.name,
        amount=Money.zero(),
        payee=letter.recipient,
        lifetime=KEY_LIFETIME,
        case_key=of_case,
        body=body,
    )
    return Plan(intent, inbox, send, also=also)
