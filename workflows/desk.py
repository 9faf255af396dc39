"""The desk: how any of our workflows waits, asks activities, parks and shows itself.

No rule of the domain is decided here. A stage says what it waits for, on whom and until when; this module makes
that wait durable, visible, and impossible to forget (architecture 3.2).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn, TypeVar

from pydantic import ValidationError
from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError, FailureError

from activities.contract import Proof
from activities.declarations import LOCAL, LOCAL_LIMIT, Declared, Effect, Step
from backhaul import names
from backhaul.attention import REASONS, SIGNS, reason_of
from backhaul.errors import CODES
from backhaul.facts import Frozen, Party
from backhaul.messages import AttentionView, WaitView
from workflows import details

A = TypeVar("A", bound=Frozen)
R = TypeVar("R", bound=Frozen)
T = TypeVar("T")

KEYWORDS = {n: SearchAttributeKey.for_keyword(n) for n in (names.STAGE, names.WAITING_ON, names.ATTENTION)}
MERCHANT_ID = SearchAttributeKey.for_keyword(names.MERCHANT_ID)
ORDER_ID = SearchAttributeKey.for_keyword(names.ORDER_ID)
AMOUNT = SearchAttributeKey.for_int(names.AMOUNT)
DUE_AT = SearchAttributeKey.for_datetime(names.DUE_AT)


ENDED_BY_CHANNEL = frozenset({"account_abnormal", "channel_closed", "insufficient_balance", "notice_undelivered"})
"""Codes with which a provider itself ends an attempt: proof that its key does nothing any more."""


@dataclass(frozen=True)
class Trouble:
    """Why an activity ended without a result: a code of backhaul.errors, and its text."""

    code: str
    message: str


@dataclass
class Wait:
    """One present wait."""

    on: Party
    code: str
    since: datetime
    due: datetime
    told: datetime | None = None
    beside: bool = False
    """For work beside the story."""
    elsewhere: str | None = None
    """The workflow that has the timer, where this one only shows it."""

    def view(self) -> WaitView:
        """As people see it."""
        return WaitView(on=self.on, code=self.code, since=self.since, due=self.due, told=self.told)


@dataclass(frozen=True)
class Reminder:
    """Something to do at a time, if a wait is still on then: to remind, or to raise an alarm."""

    at: datetime
    send: Callable[[], Coroutine[Any, Any, None]]


@dataclass
class Parked:
    """One parked step, and the command that will free it."""

    step: str
    reason: str
    headline: str
    since: datetime
    due: datetime
    effect: bool
    key: str | None
    """The payment key, where the step moves money."""
    skippable: bool = True
    retriable: bool = True
    deciding: bool = False
    """An operator's skip is being proved: nobody else frees the step meanwhile."""
    command: str | None = None
    proof: Proof | None = None
    alarms: int = 0
    elsewhere: str | None = None
    """The workflow that is parked and has the alarm, where this one only waits for it."""

    @property
    def sign(self) -> bool:
        """Is somebody only to look, while the story goes on? It is shown after what is stuck."""
        return self.reason in SIGNS

    def pressed(self) -> str:
        """What an operator's retry does, for people."""
        return f"has looked at {self.step}" if self.sign else f"tries {self.step} again"


def reject(code: str, message: str = "") -> NoReturn:
    """Refuse an update, or a start, with a code of backhaul.errors; nothing is written to history."""
    text = message or CODES[code]
    raise ApplicationError(text, {"code": code, "message": text, "field": None}, type="Rejected", non_retryable=True)


class CloseRequested(Exception):
    """An operator closes what is parked."""


def trouble_of(error: ActivityError) -> Trouble:
    """Read the coded error out of a failed activity. Never from its text."""
    cause = error.cause
    if isinstance(cause, ApplicationError):
        first = cause.details[0] if cause.details else None
        if isinstance(first, dict) and first.get("code") in CODES:
            return Trouble(str(first["code"]), str(first.get("message") or CODES[str(first["code"])]))
        return Trouble("step_failed", f"{cause.type}")
    return Trouble("no_answer", "The step did not answer in time.")


class Desk:
    """What one workflow waits for and is stuck on. Subclasses say how it looks: stage, ids, details."""

    merchant_id: str = ""
    order_id: str | None = None
    amount: int | None = None
    park_s: float = 86_400.0
    ready = True
    """False while a start may still fail: trouble then fails the workflow instead of parking it."""

    def __init__(self) -> None:
        self.parked: list[Parked] = []
        self.waits: list[Wait] = []
        self.notices: dict[str, int] = {}
        """How often each notice was sent, by its word."""
        self.close_reason: str | None = None
        self.cancel_wanted = False
        self._extended = False
        self._shown: dict[str, Any] = {}
        self._tasks: list[asyncio.Task[Any]] = []
        self._asides: list[asyncio.Task[Any]] = []
        self._signs: list[asyncio.Task[None]] = []
        self._over = False

    def stage_name(self) -> str:
        """The word in the search attribute."""
        raise NotImplementedError

    def describe(self) -> str:
        """The current details in markdown."""
        raise NotImplementedError

    # ---- showing -------------------------------------------------------------------------------------------

    def publish(self) -> None:
        """Search attributes (only what changed, in one command) and the details for the UI."""
        wait, parked = self.shown_wait, self.stuck[0] if self.stuck else None
        alarmed = next((one for one in self.parked if one.elsewhere is None), None)
        due = parked.due if parked else (wait.due if wait else None)
        shown: dict[str, Any] = {
            names.STAGE: self.stage_name(),
            names.WAITING_ON: Party.OPERATOR.value if parked else (wait.on.value if wait else None),
            names.ATTENTION: alarmed.reason if alarmed else None,
            names.DUE_AT: due,
        }
        changed = {name: value for name, value in shown.items() if self._shown.get(name) != value}
        updates: list[Any] = []
        for name, value in changed.items():
            if name == names.DUE_AT:
                updates.append(DUE_AT.value_unset() if value is None else DUE_AT.value_set(value))
            else:
                key = KEYWORDS[name]
                updates.append(key.value_unset() if value is None else key.value_set(names.clamp(value)))
        if not self._shown:
            updates.append(MERCHANT_ID.value_set(names.clamp(self.merchant_id)))
            if self.order_id is not None:
                updates.append(ORDER_ID.value_set(names.clamp(self.order_id)))
            if self.amount is not None:
                updates.append(AMOUNT.value_set(self.amount))
        if updates:
            workflow.upsert_search_attributes(updates)
            self._shown = shown
        workflow.set_current_details(self.describe())

    @property
    def shown_wait(self) -> Wait | None:
        """What people are shown: the story's own wait, else the one beside it that is due first."""
        return self.wait_now or min(self.waits, key=lambda wait: wait.due, default=None)

    @property
    def stuck(self) -> list[Parked]:
        """What does not go on by itself, as against mere signs."""
        return [parked for parked in self.parked if not parked.sign]

    @property
    def shows(self) -> frozenset[str]:
        """The workflows whose timers people are shown here in place of this one's own."""
        shown = (self.shown_wait, self.parked[0] if self.parked else None)
        return frozenset(one.elsewhere for one in shown if one is not None and one.elsewhere is not None)

    # ---- waiting -------------------------------------------------------------------------------------------

    @property
    def wait_now(self) -> Wait | None:
        """What the story itself waits for."""
        return next((wait for wait in self.waits if not wait.beside), None)

    @wait_now.setter
    def wait_now(self, wait: Wait | None) -> None:
        """The story waits for this, or for nothing, without a timer of its own."""
        self.waits = [one for one in self.waits if one.beside] + ([] if wait is None else [wait])

    def waits_for(self, code: str) -> bool:
        """Does the story, or work beside it, wait for this now?"""
        return any(wait.code == code for wait in self.waits)

    async def wait(
        self,
        on: Party,
        code: str,
        due: datetime,
        until: Callable[[], bool],
        *,
        reminders: Sequence[Reminder] = (),
        beside: bool = False,
    ) -> bool:
        """Wait until the condition holds (True) or the deadline is reached (False). `beside`: for work beside the
        story, whose own wait people see first.

        An answer that arrives in the same workflow task as the timer counts as an answer. An operator may extend
        the deadline; the wait then goes on to the new one. A cancel request from outside parks the case here.
        Reminders, in order of time, go out beside the wait, each at its time if the wait is still on."""
        wait = Wait(on, code, workflow.now(), due, beside=beside)
        return await self._waiting(wait, self._wait_until(wait, until, list(reminders)))

    async def ask(
        self,
        on: Party,
        code: str,
        span: timedelta,
        until: Callable[[], bool],
        tell: Coroutine[Any, Any, datetime],
        *,
        reminders: Sequence[Reminder] = (),
        beside: bool = False,
    ) -> bool:
        """Tell a party and wait for what they say: True, or False at the deadline, which counts from when they were
        told. `tell` gives that time. What they say while the notice is still on its way counts: the wait is on."""
        asked = workflow.now()
        wait = Wait(on, code, asked, asked + span, beside=beside)
        return await self._waiting(wait, self._told_and_wait(wait, until, tell, list(reminders)))

    async def _waiting(self, wait: Wait, work: Coroutine[Any, Any, bool]) -> bool:
        self.waits.append(wait)
        try:
            return await work
        finally:
            self.waits.remove(wait)

    async def _told_and_wait(
        self, wait: Wait, until: Callable[[], bool], tell: Coroutine[Any, Any, datetime], reminders: list[Reminder]
    ) -> bool:
        telling = asyncio.create_task(tell)
        await workflow.wait_condition(lambda: telling.done() or until())
        if telling.done():
            wait.told = telling.result()
            late = wait.told - wait.since
            wait.due += late
            reminders = [Reminder(one.at + late, one.send) for one in reminders]
        else:
            self._tasks.append(telling)
        return await self._wait_until(wait, until, reminders)

    async def _wait_until(self, wait: Wait, until: Callable[[], bool], reminders: list[Reminder]) -> bool:
        while not until():
            while reminders and reminders[0].at <= workflow.now() < wait.due:
                self.spawn(reminders.pop(0).send())
            if self.cancel_wanted:
                self.cancel_wanted = False
                await self.park(
                    "cancel_requested",
                    "Somebody asked to cancel after the courier had the goods",
                    step="cancel",
                    effect=True,
                )
                continue
            left = wait.due - workflow.now()
            if left <= timedelta(0):
                return False
            if reminders and reminders[0].at < wait.due:
                left = reminders[0].at - workflow.now()
            self.publish()
            self._extended = False
            try:
                await workflow.wait_condition(
                    lambda: until() or self._extended or self.cancel_wanted,
                    timeout=left,
                    timeout_summary=f"{wait.code}: waits on {wait.on.value}",
                )
            except TimeoutError:
                continue
        return True

    def extend(self, seconds: int) -> None:
        """Give the wait that is shown, and what is parked, more time: what has its timer here."""
        more = timedelta(seconds=seconds)
        shown = [self.shown_wait, *self.parked]
        for one in shown:
            if one is not None and one.elsewhere is None:
                one.due += more
        self._extended = True

    async def pause(self, on: Party, code: str, due: datetime, until: datetime) -> None:
        """Let time pass beside the story, visibly: somebody has until `due`, and is looked at again at `until`."""
        wait = Wait(on, code, workflow.now(), due, beside=True)
        self.waits.append(wait)
        self.publish()
        await workflow.sleep(until - workflow.now(), summary=f"{code}: waits on {on.value}")
        self.waits.remove(wait)
        self.publish()

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Let independent work go on beside the story; `join` waits for it before the close."""
        task = asyncio.create_task(work)
        self._tasks.append(task)
        return task

    async def join(self) -> None:
        """Wait for all spawned work. Its bugs fail the workflow task, as bugs of the story do."""
        while self._tasks:
            await self._tasks.pop(0)

    def aside(self, work: Coroutine[Any, Any, None]) -> None:
        """Like `spawn`, for what no money and no step of the story waits for: only the close does, in `wind_up`."""
        self._asides.append(asyncio.create_task(work))

    async def wind_up(self) -> None:
        """Before the close: wait for all that was spawned, and for what goes on aside."""
        while self._tasks or self._asides:
            await (self._tasks or self._asides).pop(0)

    def sign(self, reason: str, headline: str, step: str) -> None:
        """Have an operator look, for a reason of SIGNS: nothing waits for it, and `take_down` ends it."""
        if not self._over:
            self._signs.append(asyncio.create_task(self._sign(reason, headline, step)))

    async def _sign(self, reason: str, headline: str, step: str) -> None:
        await workflow.wait_condition(lambda: self.ready or self._over)
        await self.park(reason, headline, step=step, effect=True, freed=lambda: self._over)

    async def take_down(self) -> None:
        """At the close: signs that nobody looked at end with the workflow."""
        self._over = True
        while self._signs:
            await self._signs.pop(0)

    @property
    def idle(self) -> bool:
        """Has all work beside the story ended?"""
        return all(task.done() for task in self._tasks)

    @property
    def effects_under_way(self) -> bool:
        """Is any work beside the story unfinished, or a payment parked?"""
        return any(not task.done() for task in self._tasks) or any(parked.key is not None for parked in self.parked)

    # ---- asking --------------------------------------------------------------------------------------------

    async def step(self, declared: Step[A, R], argument: A) -> R:
        """Ask our own database: locally within two seconds, then as a regular activity, then park (architecture 4).

        Raises ApplicationError(`Rejected`) only while not `ready`: a start that cannot be judged fails."""
        try:
            raw = await workflow.execute_local_activity(
                declared.name,
                argument,
                schedule_to_close_timeout=LOCAL_LIMIT,
                retry_policy=LOCAL,
                summary=declared.summary(argument)[:200],
            )
            return declared.result.model_validate(raw)
        except FailureError as error:  # a local activity's own failure comes bare, its timeout wrapped
            self._refuse_start(error.cause if isinstance(error, ActivityError) else error)
        except ValidationError:
            pass
        result = await self._ask(declared, argument, skippable=False)
        if isinstance(result, Proof):
            raise RuntimeError(f"{declared.name} cannot be skipped")
        return result

    def _refuse_start(self, cause: BaseException | None) -> None:
        """While a start may still fail, what the rules refuse fails it with their own code."""
        if not self.ready and isinstance(cause, ApplicationError) and cause.non_retryable:
            raise cause from None

    async def effect(
        self,
        declared: Effect[A, R],
        argument: A,
        *,
        key: Callable[[A], str] | None = None,
        again: Callable[[A], A] | None = None,
        hand_back: frozenset[str] = frozenset(),
        freed: Callable[[], bool] | None = None,
    ) -> R | Proof:
        """Ask the world outside. When retries end the case parks; an operator's retry goes on under the same key,
        a skip returns the Proof under which it was skipped.

        An effect with a `key` moves money: skipping it needs the provider's proof, or an approval. `again` makes the
        argument of a new attempt under the next key; used only where the channel itself ended the last one (X21).
        A refusal whose code is in `hand_back` does not park: it comes back as the state of a Proof. `freed` is a
        condition under which it does not matter any more: what is parked then goes on as if it were skipped."""
        return await self._ask(declared, argument, key=key, again=again, hand_back=hand_back, freed=freed)

    async def once(
        self,
        declared: Declared[A, R],
        argument: A,
        *,
        retry: RetryPolicy | None = None,
        within: timedelta | None = None,
    ) -> R:
        """Ask as declared, or with another `retry` and an answer `within` some time of all tries. Raises ActivityError,
        or ValidationError where the result has an unknown shape: it is read here and not by the SDK, which would fail
        the whole workflow."""
        raw = await workflow.execute_activity(
            declared.name,
            argument,
            task_queue=declared.queue,
            start_to_close_timeout=declared.start_to_close,
            schedule_to_close_timeout=within,
            heartbeat_timeout=declared.heartbeat,
            retry_policy=retry or declared.retry,
            summary=declared.summary(argument)[:200],
        )
        return declared.result.model_validate(raw)

    async def _ask(
        self,
        declared: Declared[A, R],
        argument: A,
        *,
        key: Callable[[A], str] | None = None,
        again: Callable[[A], A] | None = None,
        hand_back: frozenset[str] = frozenset(),
        skippable: bool = True,
        freed: Callable[[], bool] | None = None,
    ) -> R | Proof:
        while True:
            try:
                return await self.once(declared, argument)
            except ActivityError as error:
                self._refuse_start(error.cause)
                trouble = trouble_of(error)
            except ValidationError as error:
                trouble = Trouble("provider_malformed", f"{declared.name}: {error.error_count()} fields do not fit")
            if not self.ready:
                raise ApplicationError(trouble.message, {"code": trouble.code}, type="Transient", non_retryable=True)
            named = key(argument) if key is not None else None
            if trouble.code in hand_back:
                return Proof(key=named or declared.name, state=trouble.code)
            parked = await self.park(
                trouble.code,
                trouble.message,
                step=declared.name,
                effect=True,
                key=named,
                skippable=skippable,
                freed=freed,
            )
            if parked.command == "skip" or (parked.command is None and freed is not None and freed()):
                return parked.proof or Proof(key=named or declared.name, state="skipped")
            if again is not None and trouble.code in ENDED_BY_CHANNEL:
                argument = again(argument)

    # ---- what operators' updates share -------------------------------------------------------------------------

    def parked_effect(self, step: str | None) -> Parked:
        """The step that an operator may free now: the named one, or the one that is parked longest. Else the update is
        refused with `not_parked`."""
        free = (one for one in self.parked if one.effect and not one.deciding and one.command is None)
        found = next((one for one in free if step in {None, one.step, one.key}), None)
        if found is None:
            reject("not_parked")
        return found

    def retriable_effect(self, step: str | None) -> Parked:
        """The same, for a step that may be tried again. Else the update is refused with `given_up`."""
        parked = self.parked_effect(step)
        if not parked.retriable:
            reject("given_up")
        return parked

    def skippable_effect(self, step: str | None) -> Parked:
        """The same, for a step that may be skipped. Else the update is refused with `not_waiting`."""
        parked = self.parked_effect(step)
        if not parked.skippable:
            reject("not_waiting", f"{parked.step} cannot be skipped")
        return parked

    async def ask_for_update(self, declared: Declared[A, R], request: A) -> R:
        """Ask once for an update. What was refused refuses the update, with its code."""
        try:
            return await self.once(declared, request)
        except ActivityError as error:
            trouble = trouble_of(error)
            reject(trouble.code, trouble.message)
        except ValidationError:
            reject("provider_malformed")

    async def prove(self, parked: Parked, declared: Declared[A, Proof], request: A) -> None:
        """Ask for the proof under which a parked step is skipped; nobody else frees the step meanwhile."""
        parked.deciding = True
        try:
            parked.proof = await self.ask_for_update(declared, request)
        except ApplicationError:
            parked.deciding = False
            raise

    # ---- parking -------------------------------------------------------------------------------------------

    async def park(
        self,
        reason: str,
        headline: str,
        *,
        step: str,
        effect: bool = False,
        key: str | None = None,
        skippable: bool = True,
        retriable: bool = True,
        freed: Callable[[], bool] | None = None,
        within_s: float | None = None,
        looks_again: bool = False,
    ) -> Parked:
        """Say that a human is needed, why, and what to send; go on when freed.

        Its deadline raises the alarm again (and again): a parked case is never silent. `freed` is a condition beside
        the operator's commands, such as the arrival of a ruling. With `looks_again` the deadline frees the step, after
        its alarm: the caller looks whether the trouble is over. Raises CloseRequested when an operator closes; not
        where it is only a sign (backhaul.attention.SIGNS)."""
        if reason not in REASONS:
            reason, headline = reason_of(reason), f"{reason}: {headline}"
        span = timedelta(seconds=within_s or self.park_s)
        now = workflow.now()
        parked = Parked(step, reason, headline, now, now + span, effect, key, skippable, retriable)
        self.put(parked)
        free = freed or (lambda: False)

        def closes() -> bool:
            return bool(self.close_reason) and not parked.sign

        while not (free() or parked.command or closes()):
            left = parked.due - workflow.now()
            if left <= timedelta(0):
                parked.alarms += 1
                if looks_again:
                    await workflow.wait_condition(lambda: bool(parked.command) or not parked.deciding)
                    break
                parked.due = workflow.now() + span
                left = span
            self.publish()
            self._extended = False
            try:
                await workflow.wait_condition(
                    lambda: free() or bool(parked.command) or closes() or self._extended,
                    timeout=left,
                    timeout_summary=f"parked, {reason}: {headline}"[:200],
                )
            except TimeoutError:
                workflow.logger.warning("still parked", extra={"reason": reason, "step": step})
        self.parked.remove(parked)
        self.publish()
        if closes():
            raise CloseRequested
        return parked

    def put(self, parked: Parked) -> None:
        """Show what is parked: in order of time, what is stuck before mere signs."""
        at = len(self.parked) if parked.sign else len(self.stuck)
        self.parked.insert(at, parked)

    def attention(self) -> AttentionView | None:
        """The oldest parked step, for views; a sign where nothing is stuck."""
        if not self.parked:
            return None
        parked = self.parked[0]
        return AttentionView(
            reason=parked.reason,
            headline=parked.headline,
            step=parked.step,
            since=parked.since,
            due=parked.due,
            send=details.what_to_send(parked),
            runbook=details.runbook(parked.reason),
        )
