"""The ledger's templates: the worked example to the fen, and every number of the rules."""

from __future__ import annotations

import ast
import inspect
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backhaul import ledger
from backhaul.ledger import (
    CaseRef,
    I,
    JournalEntry,
    P,
    Side,
    UnbalancedEntry,
    check_balanced,
    credit,
    debit,
    made,
    reversal,
)
from backhaul.ledger.meanings import MEANINGS
from backhaul.money import Money

RULES = Path(__file__).parents[2] / "docs" / "reference" / "rules.md"
CASE = CaseRef(merchant_id="m1", order_id="o1", consumer_ref="u1", rma_id="r1")


def fen(text: str) -> Money:
    return Money.of(text, "CNY")


ANYTHING: dict[str, Any] = {
    "order": CASE,
    "case": CASE,
    "merchant_id": "m1",
    "payment_id": "p1",
    "coverage_id": "c1",
    "reference": "ref1",
    "claim_ref": "claim1",
    "key": "m1:r1:x:1",
    "waybill": "w1",
    "courier": "sandbox",
    "batch": "b1",
    "bearer": "merchant",
    "part": "1",
    "ref": "claim1",
}


def templates() -> dict[str, Callable[..., JournalEntry | None]]:
    """Every template function, by name: those whose docstring begins with a number."""
    return {
        name: function
        for name, function in vars(ledger).items()
        if inspect.isfunction(function) and re.match(r"J\d\d", function.__doc__ or "")
    }


def make(function: Callable[..., JournalEntry | None], amount: Money, **over: Any) -> JournalEntry | None:
    """Call a template with anything for its links and `amount` for its amounts (a tenth for the commission)."""
    given = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name in over:
            given[name] = over[name]
        elif name == "commission":
            given[name] = amount.fraction(1, 10)
        elif parameter.annotation == "Money":
            given[name] = amount
        else:
            given[name] = ANYTHING[name]
    return function(**given)


def lines(entry: JournalEntry | None) -> list[str]:
    assert entry is not None
    check_balanced(entry)
    return [f"{one.side.value[0]} {one.account.value} {one.amount.major()}" for one in entry.lines]


COAT, LOSS, FREIGHT, FEE = fen("1200.00"), fen("360.00"), fen("14.00"), fen("60.00")
C = {"claim_ref": "claim1"}
K = {"claim_ref": "claim1", "key": "k1"}
EXAMPLE: list[tuple[str, JournalEntry | None, list[str]]] = [
    (
        "J01",
        ledger.sale_captured(CASE, COAT, FEE, payment_id="p1"),
        ["d P1000 1200.00", "c P2000 1140.00", "c P4000 60.00"],
    ),
    (
        "J02",
        ledger.cover_bound(CASE, fen("0.36"), fen("0.60"), coverage_id="c1"),
        ["d P2000 0.36", "d P5000 0.60", "c P2030 0.96", "d I1100 0.96", "c I2100 0.96"],
    ),
    (
        "J03",
        ledger.premium_remitted(CASE, fen("0.96"), coverage_id="c1"),
        ["d P2030 0.96", "c P1010 0.96", "d I1000 0.96", "c I1100 0.96"],
    ),
    ("J04", ledger.premium_earned(CASE, fen("0.96"), coverage_id="c1"), ["d I2100 0.96", "c I4000 0.96"]),
    ("J05", ledger.psp_swept(COAT, reference="s1"), ["d P1010 1200.00", "c P1000 1200.00"]),
    ("J06", ledger.psp_topped_up(COAT, reference="s1"), ["d P1000 1200.00", "c P1010 1200.00"]),
    ("J10", ledger.rfi_reserved(CASE, FREIGHT, **C), ["d I5000 14.00", "c I2200 14.00"]),
    ("J11", ledger.rfi_approved(CASE, FREIGHT, **C), ["d I2200 14.00", "c I2210 14.00"]),
    ("J12", ledger.courier_paid_by_insurer(CASE, FREIGHT, waybill="w1", **K), ["d I2210 14.00", "c I1000 14.00"]),
    ("J13", ledger.consumer_paid_by_insurer(CASE, fen("10.00"), waybill="w1", **K), ["d I2210 10.00", "c I1000 10.00"]),
    (
        "J14",
        ledger.freight_above_cap(CASE, FREIGHT, bearer="merchant", courier="x", waybill="w1"),
        ["d P2000 14.00", "c P2020 14.00"],
    ),
    (
        "J14",
        ledger.freight_above_cap(CASE, FREIGHT, bearer="consumer", courier="x", waybill="w1"),
        ["d P1110 14.00", "c P2020 14.00"],
    ),
    ("J15", ledger.courier_paid(CASE, FREIGHT, courier="x", waybill="w1"), ["d P2020 14.00", "c P1010 14.00"]),
    ("J16", ledger.self_ship_borne_by_merchant(CASE, FREIGHT, waybill="w1"), ["d P2000 14.00", "c P2010 14.00"]),
    ("J20", ledger.lightning_granted(CASE, COAT), ["d P1130 1200.00", "c P2010 1200.00"]),
    ("J21", ledger.refund_succeeded(CASE, COAT, key="k1"), ["d P2010 1200.00", "c P1000 1200.00"]),
    ("J22", ledger.goods_accepted(CASE, COAT, FEE), ["d P2000 1140.00", "d P4000 60.00", "c P1130 1200.00"]),
    ("J23", ledger.refund_due(CASE, COAT, FEE), ["d P2000 1140.00", "d P4000 60.00", "c P2010 1200.00"]),
    ("J30", ledger.rdv_reserved(CASE, LOSS, **C), ["d I5000 360.00", "c I2200 360.00"]),
    (
        "J31",
        ledger.rdv_approved(CASE, LOSS, **C),
        ["d I2200 360.00", "c I2210 360.00", "d P1120 360.00", "c P2000 360.00"],
    ),
    ("J34", ledger.advance_paid(CASE, LOSS, batch="b1", **K), ["d P2000 360.00", "c P1010 360.00"]),
    (
        "J32",
        ledger.insurer_funded(CASE, LOSS, **K),
        ["d I2210 360.00", "c I1000 360.00", "d P1010 360.00", "c P1120 360.00"],
    ),
    ("J33", ledger.reserve_changed(CASE, LOSS, **C), ["d I5000 360.00", "c I2200 360.00"]),
    ("J33", ledger.reserve_changed(CASE, -LOSS, **C), ["d I2200 360.00", "c I5000 360.00"]),
    ("J40", ledger.carrier_accepted(CASE, LOSS, **C), ["d I1200 360.00", "c I5100 360.00"]),
    ("J41", ledger.carrier_set_off(CASE, LOSS, courier="x", key="k1", **C), ["d P2020 360.00", "c P2040 360.00"]),
    (
        "J42",
        ledger.recovery_remitted(CASE, LOSS, **K),
        ["d P2040 360.00", "c P1010 360.00", "d I1000 360.00", "c I1200 360.00"],
    ),
    ("J43", ledger.recovery_uncollectable(CASE, LOSS, **C), ["d I5100 360.00", "c I1200 360.00"]),
    ("J44", ledger.carrier_paid_cash(CASE, LOSS, **C), ["d P1010 360.00", "c P2040 360.00"]),
    (
        "J45",
        ledger.carrier_paid_for_nothing(CASE, LOSS, courier="sandbox", **C),
        ["d P2040 360.00", "c P2020 360.00"],
    ),
    (
        "J45",
        ledger.consumer_paid_for_nothing(CASE, LOSS, claim_ref="claim1", key="k2"),
        ["d P1110 360.00", "c P2010 360.00"],
    ),
    (
        "J45",
        ledger.recovery_returned(CASE, LOSS, courier="x", **K),
        ["d P1010 360.00", "c P2020 360.00", "d I5100 360.00", "c I1000 360.00"],
    ),
    (
        "J45",
        ledger.recovery_returned(CASE, LOSS, **K),
        ["d P1010 360.00", "c P2010 360.00", "d I5100 360.00", "c I1000 360.00"],
    ),
    ("J50", ledger.left_uncharged(CASE, LOSS), ["d P1110 360.00", "c P1130 360.00"]),
    ("J51", ledger.consumer_collected(CASE, LOSS, key="k1"), ["d P1000 360.00", "c P1110 360.00"]),
    ("J52", ledger.consumer_written_off(CASE, LOSS), ["d P5020 360.00", "c P1110 360.00"]),
    (
        "J53",
        ledger.consumer_owes_indemnity(CASE, LOSS, **C),
        ["d P1110 360.00", "c P2040 360.00", "d I1200 360.00", "c I5100 360.00"],
    ),
    (
        "J54",
        ledger.withheld_from_refund(CASE, LOSS, **C),
        ["d P2010 360.00", "c P2040 360.00", "d I1200 360.00", "c I5100 360.00"],
    ),
    (
        "J55",
        ledger.consumer_uncollectable(CASE, LOSS, **C),
        ["d P2040 360.00", "c P1110 360.00", "d I5100 360.00", "c I1200 360.00"],
    ),
    ("J56", ledger.freight_withheld(CASE, FREIGHT), ["d P2010 14.00", "c P1110 14.00"]),
    ("J60", ledger.refund_bounced(CASE, COAT, key="k1"), ["d P1000 1200.00", "c P2010 1200.00"]),
    ("J61", ledger.alternate_payout(CASE, COAT, key="k1"), ["d P2010 1200.00", "c P1010 1200.00"]),
    ("J62", ledger.refund_unclaimed(CASE, COAT), ["d P2010 1200.00", "c P2060 1200.00"]),
    ("J63", ledger.unclaimed_claimed(CASE, COAT, key="k1"), ["d P2060 1200.00", "c P1010 1200.00"]),
    ("J70", ledger.settlement_paid("m1", COAT, batch="b1", key="k1"), ["d P2000 1200.00", "c P1010 1200.00"]),
    ("J71", ledger.shortfall_opened("m1", COAT, batch="b1"), ["d P1100 1200.00", "c P2000 1200.00"]),
    ("J72", ledger.deposit_drawn("m1", COAT, reference="b1"), ["d P2050 1200.00", "c P1100 1200.00"]),
    ("J73", ledger.shortfall_topped_up("m1", COAT, key="k1"), ["d P1010 1200.00", "c P1100 1200.00"]),
    ("J74", ledger.shortfall_written_off("m1", COAT, reference="b1"), ["d P5020 1200.00", "c P1100 1200.00"]),
    (
        "J75",
        ledger.indemnity_overturned(CASE, LOSS, **C),
        ["d P2000 360.00", "c P1120 360.00", "d I2210 360.00", "c I5000 360.00"],
    ),
    (
        "J75b",
        ledger.funded_indemnity_overturned(CASE, LOSS, **C),
        ["d P2000 360.00", "c P2040 360.00", "d I1200 360.00", "c I5000 360.00"],
    ),
    ("J76", ledger.shortfall_netted("m1", COAT, batch="b1"), ["d P2000 1200.00", "c P1100 1200.00"]),
    ("J77", ledger.deposit_received("m1", COAT, key="k1"), ["d P1010 1200.00", "c P2050 1200.00"]),
    ("J80", ledger.goodwill_granted(CASE, FREIGHT), ["d P5010 14.00", "c P2010 14.00"]),
    (
        "J82",
        ledger.partial_refund_due(CASE, fen("180.00"), fen("9.00")),
        ["d P2000 171.00", "d P4000 9.00", "c P2010 180.00"],
    ),
]


@pytest.mark.parametrize(("number", "entry", "expected"), EXAMPLE)
def test_the_worked_example_to_the_fen(number: str, entry: JournalEntry | None, expected: list[str]) -> None:
    assert entry is not None
    assert entry.template == number
    assert lines(entry) == expected


def test_the_coat_s_story_adds_up() -> None:
    """30 % damage at the door: the consumer gets 840.00, the merchant is charged 1200.00 and paid 360.00."""
    story = made(
        ledger.sale_captured(CASE, COAT, FEE, payment_id="p1"),
        ledger.refund_due(CASE, COAT, FEE),
        ledger.rdv_reserved(CASE, LOSS, **C),
        ledger.rdv_approved(CASE, LOSS, **C),
        ledger.withheld_from_refund(CASE, LOSS, **C),
        ledger.refund_succeeded(CASE, fen("840.00"), key="k1"),
        ledger.advance_paid(CASE, LOSS, claim_ref="claim1", key="k2", batch="b1"),
        ledger.insurer_funded(CASE, LOSS, claim_ref="claim1", key="k3"),
        ledger.recovery_remitted(CASE, LOSS, claim_ref="claim1", key="k4"),
    )
    balance: Counter[str] = Counter()
    for entry in story:
        for one in check_balanced(entry).lines:
            balance[one.account.value] += one.amount.minor if one.side is Side.DEBIT else -one.amount.minor
    assert {account: rest for account, rest in balance.items() if rest} == {
        "P1000": 36_000,  # 1200.00 captured, 840.00 refunded
        "P1010": -36_000,  # the merchant's 360.00: the insurer's funding went back to it as recovery
        "I5000": 36_000,
        "I5100": -36_000,  # the insurer nets 0
    }


def numbers_in_rules(text: str) -> set[str]:
    """Every J number of the entries table."""
    return set(re.findall(r"^\| (J\d\d[a-z]?) \|", text, flags=re.MULTILINE))


def test_every_number_of_the_rules_is_a_template_and_the_other_way_round() -> None:
    numbers = numbers_in_rules(RULES.read_text(encoding="utf-8"))
    assert numbers == set(ledger.TEMPLATES)
    documented = {re.match(r"J\d\d[a-z]?", function.__doc__ or "")[0] for function in templates().values()}  # type: ignore[index]
    assert documented == set(ledger.TEMPLATES)
    assert {number for number, _, _ in EXAMPLE} == set(ledger.TEMPLATES)


def test_a_number_missing_from_the_rules_is_caught() -> None:
    text = RULES.read_text(encoding="utf-8")
    assert numbers_in_rules(re.sub(r"^\| J34 .*\n", "", text, flags=re.MULTILINE)) == set(ledger.TEMPLATES) - {"J34"}


@pytest.mark.parametrize("name", sorted(templates()))
def test_every_template_makes_its_number_and_nothing_of_nothing(name: str) -> None:
    function = templates()[name]
    entry = make(function, fen("12.34"))
    assert entry is not None
    check_balanced(entry)
    assert (function.__doc__ or "").startswith(entry.template)
    assert entry.key.startswith(f"{entry.template}:")
    assert make(function, fen("0.00")) is None


@pytest.mark.parametrize("name", sorted(set(templates()) - {"reserve_changed"}))
def test_a_negative_amount_is_caught_in_every_template(name: str) -> None:
    with pytest.raises(UnbalancedEntry):
        make(templates()[name], fen("-12.34"))


def test_keys_differ_by_template_case_and_fact() -> None:
    keys = [entry.key for _, entry, _ in EXAMPLE if entry is not None]
    expected_twins = {"J14:m1/r1:w1", "J33:m1/r1:claim1:1", "J45:m1/r1:k1"}  # both variants of one event
    assert {key for key, count in Counter(keys).items() if count > 1} == expected_twins
    other = CASE.model_copy(update={"rma_id": "r2"})
    first, second = ledger.refund_due(CASE, COAT, FEE), ledger.refund_due(other, COAT, FEE)
    third = ledger.refund_due(CASE, COAT, FEE, part="2")
    assert first is not None
    assert second is not None
    assert third is not None
    assert len({first.key, second.key, third.key}) == 3


def test_entries_of_the_order_do_not_depend_on_the_case() -> None:
    first = ledger.sale_captured(CASE, COAT, FEE, payment_id="p1")
    second = ledger.sale_captured(CASE.model_copy(update={"rma_id": "r2"}), COAT, FEE, payment_id="p1")
    assert first == second
    assert first is not None
    assert first.rma_id is None


def test_links_to_the_outside() -> None:
    refund = ledger.refund_succeeded(CASE, COAT, key="m1:r1:refund.p1:1")
    assert refund is not None
    assert (refund.payment_key, refund.external_key) == ("m1:r1:refund.p1:1", "m1:r1:refund.p1:1")
    sale = ledger.sale_captured(CASE, COAT, FEE, payment_id="p1")
    assert sale is not None
    assert (sale.payment_key, sale.external_key) == (None, "p1")
    paid = ledger.carrier_paid_cash(CASE, LOSS, claim_ref="claim1")
    assert paid is not None
    assert paid.external_key == "claim1"


def entry_of(*parts: ledger.Line) -> JournalEntry:
    return JournalEntry(template="J99", key="J99:x", merchant_id="m1", lines=parts)


@pytest.mark.parametrize(
    "bad",
    [
        entry_of(),
        entry_of(debit(P.BANK, COAT)),
        entry_of(debit(P.BANK, COAT), credit(P.MERCHANT_PAYABLE, LOSS)),
        # balanced over both books together, in neither alone
        entry_of(debit(P.BANK, COAT), credit(I.BANK, COAT)),
        # balanced in number, not in currency
        entry_of(debit(P.BANK, Money(minor=1, currency="USD")), credit(P.MERCHANT_PAYABLE, Money(minor=1))),
        entry_of(debit(P.BANK, -COAT), credit(P.MERCHANT_PAYABLE, -COAT)),
        entry_of(debit(P.BANK, fen("0.00")), credit(P.MERCHANT_PAYABLE, fen("0.00"))),
        entry_of(debit(P.BANK, COAT), debit(P.MERCHANT_PAYABLE, COAT)),
    ],
)
def test_planted_unbalanced_entries_are_caught(bad: JournalEntry) -> None:
    with pytest.raises(UnbalancedEntry) as caught:
        check_balanced(bad)
    assert caught.value.code == "unbalanced"


@pytest.mark.parametrize("fee", ["1200.01", "-0.01"])
def test_a_commission_outside_its_amount_is_caught(fee: str) -> None:
    for template in (ledger.goods_accepted, ledger.refund_due, ledger.partial_refund_due):
        with pytest.raises(UnbalancedEntry):
            template(CASE, COAT, fen(fee))


def test_a_reversal_takes_the_entry_back() -> None:
    entry = ledger.rdv_approved(CASE, LOSS, **C)
    assert entry is not None
    back = check_balanced(reversal(entry))
    assert back.reverses == entry.key
    assert back.key == f"{entry.key}:reversed"
    for account in (P.MERCHANT_PAYABLE, I.CLAIMS_PAYABLE):
        assert back.total(account, Side.DEBIT) == entry.total(account, Side.CREDIT) == 36_000
        assert back.total(account, Side.CREDIT) == 0


def test_an_entry_survives_the_wire() -> None:
    entry = ledger.rdv_approved(CASE, LOSS, **C)
    assert entry is not None
    again = JournalEntry.model_validate_json(entry.model_dump_json())
    assert again == entry
    assert [one.account for one in again.lines] == [one.account for one in entry.lines]
    assert {one.book for one in again.lines} == {"P", "I"}


def test_accounts_of_the_two_books_never_collide() -> None:
    assert all(account.value.startswith("P") for account in P)
    assert all(account.value.startswith("I") for account in I)


def test_a_refund_and_an_indemnity_never_share_an_entry() -> None:
    refunds, losses = {P.REFUND_PAYABLE, P.LIGHTNING_ADVANCES}, {I.CASE_RESERVE, I.CLAIMS_PAYABLE, P.INSURER_RECEIVABLE}
    for _, entry, _ in EXAMPLE:
        assert entry is not None
        touched = {one.account for one in entry.lines}
        assert not (touched & refunds and touched & losses)


def test_templates_are_named_in_their_package() -> None:
    source = Path(inspect.getfile(ledger)).read_text(encoding="utf-8")
    listed = next(
        ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__"
    )
    assert set(templates()) <= set(listed)


@pytest.mark.parametrize(
    ("account", "against"),
    [(P.PREMIUM_PAYABLE, P.BANK), (I.PREMIUM_RECEIVABLE, I.BANK), (P.INSURER_RECEIVABLE, P.BANK)],
)
def test_an_entry_in_which_the_books_disagree_is_caught(account: ledger.Account, against: ledger.Account) -> None:
    """Invariant 11: each book balances, and still the platform owes what the insurer is not owed."""
    amount = Money(minor=96)
    one_sided = JournalEntry(
        template="J03", key="x", merchant_id="m", lines=(debit(account, amount), credit(against, amount))
    )
    with pytest.raises(UnbalancedEntry, match="differ by 96"):
        check_balanced(one_sided)


def test_every_entry_on_a_merchants_account_has_words() -> None:
    """A statement says in both languages what each line is."""
    shown = {number for number, _, lines in EXAMPLE for line in lines if "P2000" in line}
    assert shown - MEANINGS.keys() == set()
    assert len(shown) >= 10
