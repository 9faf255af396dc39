"""Reason codes of the decisions, and what each says to people, in English and Chinese."""

from __future__ import annotations

from enum import StrEnum

from backhaul.facts import Text


class Code(StrEnum):
    """Every reason a decision can give. A new one needs its text below."""

    # 4.1 eligibility, authorization
    INSIDE_WINDOW = "inside_window"
    NOT_SIGNED = "not_signed"
    WINDOW_OVER = "window_over"
    CATEGORY_EXCLUDED = "category_excluded"
    QUANTITY_INVALID = "quantity_invalid"
    QUANTITY_OVER_ORDERED = "quantity_over_ordered"
    NO_LINES = "no_lines"
    CURRENCY_UNSUPPORTED = "currency_unsupported"
    AUTO_AUTHORIZED = "auto_authorized"
    MERCHANT_REVIEWS_ALL = "merchant_reviews_all"
    REASON_NEEDS_MERCHANT = "reason_needs_merchant"
    EVIDENCE_NEEDED = "evidence_needed"
    RISK_REFERRED = "risk_referred"
    RISK_ALLOWED = "risk_allowed"
    RISK_SIGNAL = "risk_signal"
    RISK_FROZEN = "risk_frozen"
    RISK_SWAPS = "risk_swaps"
    RISK_SCORE = "risk_score"
    STATUTORY_RETURN = "statutory_return"
    MERCHANT_MAY_DECLINE = "merchant_may_decline"
    # 4.2 freight
    FREIGHT_COVERED = "freight_covered"
    FREIGHT_ABOVE_CAP = "freight_above_cap"
    FREIGHT_NOT_COVERED = "freight_not_covered"
    FREIGHT_NOT_PROVEN = "freight_not_proven"
    FREIGHT_ABOVE_TARIFF = "freight_above_tariff"
    MERCHANT_BEARS_FREIGHT = "merchant_bears_freight"
    CONSUMER_BEARS_FREIGHT = "consumer_bears_freight"
    # 4.3 loss
    LOSS_COVERED = "loss_covered"
    NO_LOSS = "no_loss"
    RFI_NOT_IN_FORCE = "rfi_not_in_force"
    RDV_NOT_IN_FORCE = "rdv_not_in_force"
    UPPER_TIER_NOT_BOUGHT = "upper_tier_not_bought"
    UNVERIFIABLE = "unverifiable"
    SEVERITY_UNKNOWN = "severity_unknown"
    UNDER_DECLARED = "under_declared"
    LIMIT_REACHED = "limit_reached"
    DEDUCTIBLE_APPLIED = "deductible_applied"
    NOTHING_LEFT_TO_PAY = "nothing_left_to_pay"
    WITHIN_AUTHORITY = "within_authority"
    SECOND_PERSON_NEEDED = "second_person_needed"
    CLAIM_APPROVED = "claim_approved"
    CLAIM_APPROVED_IN_PART = "claim_approved_in_part"
    CLAIM_NOT_COVERED = "claim_not_covered"
    CLAIM_EVIDENCE_MISSING = "claim_evidence_missing"
    CLAIM_LATE_NOTICE = "claim_late_notice"
    CLAIM_FRAUD_SUSPECTED = "claim_fraud_suspected"
    CLAIM_LIMIT_EXHAUSTED = "claim_limit_exhausted"
    CLAIM_OTHER = "claim_other"
    OWN_FAULT = "own_fault"
    INSURER_DECIDED = "insurer_decided"
    # 4.4 lightning
    LIGHTNING_OPEN = "lightning_open"
    TIER_TOO_LOW = "tier_too_low"
    CATEGORY_OUT_OF_SCOPE = "category_out_of_scope"
    AMOUNT_TOO_HIGH = "amount_too_high"
    NOTHING_TO_REFUND = "nothing_to_refund"
    CREDIT_TOO_LOW = "credit_too_low"
    CREDIT_FROZEN = "credit_frozen"
    NOT_TRACKED = "not_tracked"
    DOORSTEP_NOT_PASSED = "doorstep_not_passed"
    SELF_SHIP_NOT_ALLOWED = "self_ship_not_allowed"
    RISK_NOT_ALLOWED = "risk_not_allowed"
    CANCELLED_FIRST = "cancelled_first"
    # 4.5 liability
    NOTHING_FOUND = "nothing_found"
    FOUND_AT_DOOR = "found_at_door"
    ARRIVED_DAMAGED = "arrived_damaged"
    FOUND_AT_RECEIPT = "found_at_receipt"
    LOST_AFTER_SCAN = "lost_after_scan"
    NOT_INSPECTED = "not_inspected"
    FINDINGS_DIFFER = "findings_differ"
    CLEAN_AFTER_FINDING = "clean_after_finding"
    LOST_AFTER_FINDING = "lost_after_finding"
    LOST_AND_RECEIVED = "lost_and_received"
    FOUND_LATE = "found_late"
    OBJECTED_WITH_EVIDENCE = "objected_with_evidence"
    OBJECTED_LATE = "objected_late"
    OBJECTED_WITHOUT_EVIDENCE = "objected_without_evidence"
    RETURNED_TO_CONSUMER = "returned_to_consumer"
    NO_COVER = "no_cover"
    RECEIPT_CHECK_NEEDED = "receipt_check_needed"
    # what a person ruled: 4.5, X13, X15, X27, X28
    RULED_MERCHANT = "ruled_merchant"
    RULED_CONSUMER = "ruled_consumer"
    RULED_CARRIER = "ruled_carrier"
    RULED_INSURER = "ruled_insurer"
    RULED_NOBODY = "ruled_nobody"
    RULED_AUTHORIZE = "ruled_authorize"
    RULED_UPHOLD = "ruled_uphold"
    RULED_OWED = "ruled_owed"
    RULED_UNCOLLECTABLE = "ruled_uncollectable"
    RULED_ON_APPEAL = "ruled_on_appeal"
    RULED_SHARED = "ruled_shared"
    # what follows for everybody's money: 4.5
    REFUNDED_IN_FULL = "refunded_in_full"
    REFUND_WITHHELD = "refund_withheld"
    REFUND_REDUCED = "refund_reduced"
    CONSUMER_OWES = "consumer_owes"
    NOT_DEMANDED = "not_demanded"
    MERCHANT_INDEMNIFIED = "merchant_indemnified"
    # 4.7 and X29
    OFFER_MADE = "offer_made"
    OFFER_NOT_WANTED = "offer_not_wanted"
    OFFER_REASON = "offer_reason"
    OFFER_VALUE_TOO_LOW = "offer_value_too_low"
    OFFER_WORTH_NOTHING = "offer_worth_nothing"
    NOT_SHIPPED = "not_shipped"
    MERCHANT_DECIDES = "merchant_decides"
    PLATFORM_MAY_FORCE = "platform_may_force"
    GOODS_UNDER_WAY = "goods_under_way"


def _t(en: str, zh: str) -> Text:
    return Text(en=en, zh=zh)


TEXTS: dict[Code, Text] = {
    Code.INSIDE_WINDOW: _t("The request is inside the return window.", "申请在退货期限内。"),
    Code.NOT_SIGNED: _t("The goods had not been signed for at the request.", "申请时商品尚未签收。"),
    Code.WINDOW_OVER: _t("The return window is over.", "已超过退货期限。"),
    Code.CATEGORY_EXCLUDED: _t("This category has no no-reason return.", "该类目不支持无理由退货。"),
    Code.QUANTITY_INVALID: _t("The quantity to return must be at least one.", "退货数量至少为一件。"),
    Code.QUANTITY_OVER_ORDERED: _t("More units would come back than were ordered.", "退货数量超过购买数量。"),
    Code.NO_LINES: _t("No line is returned.", "没有退货明细。"),
    Code.CURRENCY_UNSUPPORTED: _t("The rules are not in the currency of the order.", "规则不支持订单币种。"),
    Code.AUTO_AUTHORIZED: _t("The return is authorised at once.", "退货申请自动通过。"),
    Code.MERCHANT_REVIEWS_ALL: _t("The merchant looks at every request.", "商家需审核全部申请。"),
    Code.REASON_NEEDS_MERCHANT: _t("Reason and amount need the merchant's review.", "该原因和金额需商家审核。"),
    Code.EVIDENCE_NEEDED: _t("Evidence is asked for first.", "需先补充凭证。"),
    Code.RISK_REFERRED: _t("A person looks at the request first.", "该申请需人工审核。"),
    Code.RISK_ALLOWED: _t("The risk rules ask for nothing.", "风险规则无额外要求。"),
    Code.RISK_SIGNAL: _t("An outside signal asks for it.", "外部风险信号要求如此处理。"),
    Code.RISK_FROZEN: _t("The consumer's credit line is frozen.", "消费者信用额度已冻结。"),
    Code.RISK_SWAPS: _t(
        "Goods of this consumer were found swapped or missing at the door before.",
        "该消费者此前上门验货曾发现调包或缺件。",
    ),
    Code.RISK_SCORE: _t("The score is at a threshold.", "风险评分达到阈值。"),
    Code.STATUTORY_RETURN: _t(
        "A no-reason return inside the window cannot be refused.", "期限内的无理由退货依法不得拒绝。"
    ),
    Code.MERCHANT_MAY_DECLINE: _t("The merchant may refuse, giving a reason.", "商家可说明理由后拒绝。"),
    Code.FREIGHT_COVERED: _t("The return freight is covered.", "退货运费由运费险承担。"),
    Code.FREIGHT_ABOVE_CAP: _t("A part of the freight is above what the cover pays.", "部分运费超出保障额度。"),
    Code.FREIGHT_NOT_COVERED: _t("No return-freight cover is in force.", "没有生效的退换货运费险。"),
    Code.FREIGHT_NOT_PROVEN: _t("The freight is paid once it is proven.", "提供运费凭证后再赔付。"),
    Code.FREIGHT_ABOVE_TARIFF: _t(
        "More was paid than the tariff says for this parcel; the rest is the sender's.",
        "运费超出标准价，超出部分由寄件人承担。",
    ),
    Code.MERCHANT_BEARS_FREIGHT: _t(
        "The rest of the freight is the merchant's, by the reason.", "按退货原因，其余运费由商家承担。"
    ),
    Code.CONSUMER_BEARS_FREIGHT: _t(
        "The rest of the freight is the consumer's, by the reason.", "按退货原因，其余运费由消费者承担。"
    ),
    Code.LOSS_COVERED: _t("The loss is covered by the reverse declared value.", "损失由逆向保价承担。"),
    Code.NO_LOSS: _t("There is no loss.", "没有损失。"),
    Code.RFI_NOT_IN_FORCE: _t(
        "Return-freight cover is not in force, which this cover needs.", "退换货运费险未生效，逆向保价不适用。"
    ),
    Code.RDV_NOT_IN_FORCE: _t("Reverse declared value is not in force.", "逆向保价未生效。"),
    Code.UPPER_TIER_NOT_BOUGHT: _t(
        "The unit price is in the upper tier, which was not bought.", "单价属于高价档，未购买该档保障。"
    ),
    Code.UNVERIFIABLE: _t("The finding cannot be verified.", "验货结果无法核实。"),
    Code.SEVERITY_UNKNOWN: _t("The damage has no severity that the rules know.", "损坏程度不在规则档位内。"),
    Code.UNDER_DECLARED: _t(
        "Less than the full value was declared; the indemnity follows the share.", "未足额保价，按比例赔付。"
    ),
    Code.LIMIT_REACHED: _t("The remaining limit of the cover is reached.", "已达到剩余保额上限。"),
    Code.DEDUCTIBLE_APPLIED: _t("The deductible is taken off.", "已扣除免赔额。"),
    Code.NOTHING_LEFT_TO_PAY: _t("Limit and deductible leave nothing to pay.", "扣除限额和免赔额后无可赔付金额。"),
    Code.WITHIN_AUTHORITY: _t("The payout is within the authority limit.", "赔付金额在授权范围内。"),
    Code.SECOND_PERSON_NEEDED: _t("A second person must approve the payout.", "赔付须由第二人审批。"),
    Code.LIGHTNING_OPEN: _t("The refund may leave before the goods arrive.", "符合闪电退款条件。"),
    Code.TIER_TOO_LOW: _t("The consumer's tier is too low.", "消费者信用等级不足。"),
    Code.CATEGORY_OUT_OF_SCOPE: _t("The category has no lightning refund.", "该类目不支持闪电退款。"),
    Code.AMOUNT_TOO_HIGH: _t("The amount is above the limit of lightning refunds.", "金额超过闪电退款上限。"),
    Code.NOTHING_TO_REFUND: _t("There is nothing to refund.", "没有可退金额。"),
    Code.CREDIT_TOO_LOW: _t("The free credit line is too small.", "可用信用额度不足。"),
    Code.CREDIT_FROZEN: _t("The credit line is frozen.", "信用额度已冻结。"),
    Code.NOT_TRACKED: _t("The parcel is not tracked yet.", "包裹尚无揽收或物流记录。"),
    Code.DOORSTEP_NOT_PASSED: _t("The goods did not pass the check at the door.", "上门验货未通过。"),
    Code.SELF_SHIP_NOT_ALLOWED: _t("Self-shipped goods get no lightning refund.", "自行寄回不支持闪电退款。"),
    Code.RISK_NOT_ALLOWED: _t("The risk rules ask for a check first.", "风险规则要求先验货。"),
    Code.CANCELLED_FIRST: _t(
        "The consumer cancelled before the scan: the goods go back.", "消费者在揽收前已取消，商品退回。"
    ),
    Code.NOTHING_FOUND: _t("Nothing was found and nothing was lost.", "未发现异常，也未丢失。"),
    Code.FOUND_AT_DOOR: _t("The courier found it at the door, before the parcel moved.", "快递员上门验货时发现问题。"),
    Code.ARRIVED_DAMAGED: _t(
        "Outbound evidence shows that the goods arrived like this.", "发货证据表明商品到货时即有问题。"
    ),
    Code.FOUND_AT_RECEIPT: _t(
        "Clean at the door, not at the receipt: it happened on the way.",
        "上门验货正常，签收时异常，问题发生在运输途中。",
    ),
    Code.LOST_AFTER_SCAN: _t("The parcel was lost after the scan.", "包裹揽收后丢失。"),
    Code.NOT_INSPECTED: _t("No inspection at the door was possible.", "未能进行上门验货。"),
    Code.FINDINGS_DIFFER: _t("The findings at the door and at the receipt differ.", "上门验货与签收验货结果不一致。"),
    Code.CLEAN_AFTER_FINDING: _t("Flagged at the door, but clean at the receipt.", "上门验货异常，但签收验货正常。"),
    Code.LOST_AFTER_FINDING: _t("Flagged at the door, then lost.", "上门验货异常，随后包裹丢失。"),
    Code.LOST_AND_RECEIVED: _t("Reported lost, but also received.", "包裹报失，但又有签收记录。"),
    Code.FOUND_LATE: _t(
        "Reported late, when the goods had lain with the merchant.", "超过验货时限才报告，商品已在商家处存放。"
    ),
    Code.OBJECTED_WITH_EVIDENCE: _t(
        "The merchant objected in time and with evidence: the loss is claimed.",
        "商家在时限内举证提出异议，按损失报案。",
    ),
    Code.OBJECTED_LATE: _t(
        "The merchant objected too late for an advance: a person rules first.",
        "商家异议超过时限，不予先行赔付，先由人工判定。",
    ),
    Code.OBJECTED_WITHOUT_EVIDENCE: _t(
        "The merchant objected without evidence, so there is no advance: a person rules first.",
        "商家提出异议但未提供凭证，不予先行赔付，先由人工判定。",
    ),
    Code.RETURNED_TO_CONSUMER: _t("The goods went back to the consumer.", "商品已退回消费者。"),
    Code.NO_COVER: _t("No cover pays for it in advance: a person rules.", "没有可先行赔付的保障，由人工裁定。"),
    Code.RECEIPT_CHECK_NEEDED: _t(
        "The goods had to be checked at the receipt, and nobody did: a person rules.",
        "商品须签收验货而未验，由人工裁定。",
    ),
    Code.RULED_MERCHANT: _t("A reviewer ruled: the merchant is liable.", "人工裁定：商家责任。"),
    Code.RULED_CONSUMER: _t("A reviewer ruled: the consumer is liable.", "人工裁定：消费者责任。"),
    Code.RULED_CARRIER: _t("A reviewer ruled: the carrier is liable.", "人工裁定：承运商责任。"),
    Code.RULED_INSURER: _t(
        "A reviewer ruled: nobody can be held liable, the insurer bears it.", "人工裁定：由保险公司承担。"
    ),
    Code.RULED_NOBODY: _t("A reviewer ruled: nobody is liable.", "人工裁定：无责任方。"),
    Code.RULED_AUTHORIZE: _t("A reviewer ruled: the request is authorized.", "人工裁定：支持消费者的申请。"),
    Code.RULED_UPHOLD: _t("A reviewer ruled: the refusal stands.", "人工裁定：维持拒绝。"),
    Code.RULED_OWED: _t("A reviewer ruled: it is owed.", "人工裁定：应予偿付。"),
    Code.RULED_UNCOLLECTABLE: _t("A reviewer ruled: it cannot be collected.", "人工裁定：无法追回，予以核销。"),
    Code.RULED_ON_APPEAL: _t("On an appeal, in place of the ruling before.", "经申诉复核，取代此前的裁定。"),
    Code.RULED_SHARED: _t(
        "More than one party is liable, each for what is named.", "多方分别承担责任，各自范围见裁定内容。"
    ),
    Code.REFUNDED_IN_FULL: _t("The consumer gets the whole refund.", "全额退款给消费者。"),
    Code.REFUND_WITHHELD: _t(
        "What is indemnified is withheld from the consumer's refund.", "赔付金额从消费者退款中扣留。"
    ),
    Code.REFUND_REDUCED: _t(
        "No cover pays for the loss: the refund is less by it, and the merchant is not charged it.",
        "损失无保障赔付，从退款中扣减，不向商家收取。",
    ),
    Code.CONSUMER_OWES: _t("The consumer, who was refunded before, owes it.", "消费者已先获退款，须偿还该部分。"),
    Code.NOT_DEMANDED: _t("Too little to be demanded from the consumer.", "金额过低，不向消费者追讨。"),
    Code.MERCHANT_INDEMNIFIED: _t("The merchant is indemnified.", "向商家赔付。"),
    Code.OWN_FAULT: _t("The merchant is not paid for their own fault.", "商家自身责任，不予赔付。"),
    Code.INSURER_DECIDED: _t("The insurer has decided; it is not claimed again.", "保险公司已作出决定，不再重复报案。"),
    Code.CLAIM_APPROVED: _t("The insurer approved the claim.", "保险公司已核赔。"),
    Code.CLAIM_APPROVED_IN_PART: _t(
        "The insurer approved another amount than claimed.", "保险公司核赔金额与报案金额不同。"
    ),
    Code.CLAIM_NOT_COVERED: _t("Denied by the insurer: not covered.", "保险公司拒赔：不在保障范围内。"),
    Code.CLAIM_EVIDENCE_MISSING: _t("Denied by the insurer: evidence is missing.", "保险公司拒赔：缺少凭证。"),
    Code.CLAIM_LATE_NOTICE: _t("Denied by the insurer: notified too late.", "保险公司拒赔：报案超时。"),
    Code.CLAIM_FRAUD_SUSPECTED: _t("Denied by the insurer: fraud is suspected.", "保险公司拒赔：涉嫌欺诈。"),
    Code.CLAIM_LIMIT_EXHAUSTED: _t("Denied by the insurer: the limit is exhausted.", "保险公司拒赔：保额已用尽。"),
    Code.CLAIM_OTHER: _t("Denied by the insurer for a reason of its own.", "保险公司拒赔：其他原因。"),
    Code.OFFER_MADE: _t("A partial refund is offered for keeping the goods.", "可提供部分退款以保留商品。"),
    Code.OFFER_NOT_WANTED: _t("The merchant makes no such offers.", "商家未开通挽单。"),
    Code.OFFER_REASON: _t("No offer is made for this reason.", "该退货原因不适用挽单。"),
    Code.OFFER_VALUE_TOO_LOW: _t("The value is too low for an offer.", "金额过低，不适用挽单。"),
    Code.OFFER_WORTH_NOTHING: _t("The offer would be nothing.", "挽单金额为零。"),
    Code.NOT_SHIPPED: _t("Not shipped yet: refunded at once.", "尚未发货，立即退款。"),
    Code.MERCHANT_DECIDES: _t("The merchant decides on a refund without return.", "仅退款由商家决定。"),
    Code.PLATFORM_MAY_FORCE: _t("The platform may grant a refund without return.", "平台可直接支持仅退款。"),
    Code.GOODS_UNDER_WAY: _t("The goods are under way; refuse them or return them.", "商品运输中，请拒收或退货。"),
}
"""What each reason says. A test proves that no reason lacks a language."""

SCORED: dict[str, Text] = {
    "return_rate": _t("Return rate {value} %: {points} points.", "退货率{value}%：{points}分。"),
    "claims": _t("Claims for losses {value}: {points} points.", "损失理赔{value}次：{points}分。"),
    "swaps": _t("Swapped or missing units {value}: {points} points.", "调包或缺件{value}件：{points}分。"),
    "self_ships": _t("Self-ship benefits {value}: {points} points.", "自寄运费赔付{value}次：{points}分。"),
    "shared_address": _t("Others at the address {value}: {points} points.", "同址其他消费者{value}人：{points}分。"),
}
"""How each coefficient of the risk score is told (4.6)."""
