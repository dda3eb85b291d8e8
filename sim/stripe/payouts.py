"""Payouts to an account's own bank, and transfers to connected accounts that have one."""

from typing import Any

from sim.stripe import params
from sim.stripe.errors import invalid, missing, refused
from sim.stripe.forms import Params
from sim.stripe.money import balance, post_line
from sim.stripe.store import Body, Store

_DAY_S = 86_400


def create_account(store: Store, given: Params) -> Body:
    """A connected account whose owner the company has checked, with one bank account."""
    body: dict[str, Any] = {
        "type": "custom",
        "payouts_enabled": True,
        "capabilities": {"transfers": "active"},
        "metadata": params.metadata(given),
        "external_accounts": {"object": "list", "data": []},
    }
    account = store.new("acct", "account", body)
    bank = store.new("ba", "bank_account", {"account": account["id"], "currency": "eur"})
    account["external_accounts"]["data"].append(bank)
    return store.save(account)


def transfer(store: Store, given: Params) -> Body:
    params.known(
        given, "amount", "currency", "destination", "transfer_group", "metadata", "description"
    )
    amount, currency = params.amount(given), params.currency(given)
    destination = str(params.required(given, "destination"))
    if store.get("account", destination) is None:
        raise missing("destination", destination)
    if balance(store, currency) < amount:
        raise refused("You have insufficient funds.", code="balance_insufficient")
    made = store.new(
        "tr",
        "transfer",
        {
            "amount": amount,
            "amount_reversed": 0,
            "currency": currency,
            "destination": destination,
            "metadata": params.metadata(given),
            "reversed": False,
            "transfer_group": given.get("transfer_group"),
            "balance_transaction": None,
        },
    )
    line = post_line(store, "transfer", -amount, currency, made["id"])
    post_line(store, "payment", amount, currency, made["id"], account=destination)
    made["balance_transaction"] = line["id"]
    store.save(made)
    store.emit("transfer.created", made)
    return made


def reverse(store: Store, identifier: str, given: Params) -> Body:
    params.known(given, "amount", "metadata", "description")
    made = store.get("transfer", identifier)
    if made is None:
        raise missing("transfer", identifier)
    amount = params.amount(given, default=made["amount"] - made["amount_reversed"] or 1)
    if amount > made["amount"] - made["amount_reversed"]:
        raise refused("The transfer is reversed already.", code="transfer_already_reversed")
    if balance(store, made["currency"], account=made["destination"]) < amount:
        raise refused("The connected account has too little.", code="balance_insufficient")
    reversal = store.new(
        "trr",
        "transfer_reversal",
        {"amount": amount, "currency": made["currency"], "transfer": identifier},
    )
    post_line(store, "transfer_refund", amount, made["currency"], reversal["id"])
    post_line(
        store,
        "payment_refund",
        -amount,
        made["currency"],
        reversal["id"],
        account=made["destination"],
    )
    made["amount_reversed"] += amount
    made["reversed"] = made["amount_reversed"] == made["amount"]
    store.save(made)
    store.emit("transfer.reversed", made)
    return reversal


def create(store: Store, given: Params, account: str) -> Body:
    params.known(
        given,
        "amount",
        "currency",
        "destination",
        "method",
        "metadata",
        "description",
        "statement_descriptor",
        "source_type",
    )
    amount, currency = params.amount(given), params.currency(given)
    if balance(store, currency, account=account) < amount:
        raise refused("You have insufficient funds in your account.", code="balance_insufficient")
    payout = store.new(
        "po",
        "payout",
        {
            "amount": amount,
            "arrival_date": store.now() + 2 * _DAY_S,
            "automatic": False,
            "balance_transaction": None,
            "currency": currency,
            "destination": given.get("destination"),
            "failure_balance_transaction": None,
            "failure_code": None,
            "failure_message": None,
            "metadata": params.metadata(given),
            "method": given.get("method", "standard"),
            "statement_descriptor": given.get("statement_descriptor"),
            "status": "pending",
            "type": "bank_account",
        },
        account=account,
    )
    line = post_line(store, "payout", -amount, currency, payout["id"], account=account)
    payout["balance_transaction"] = line["id"]
    store.save(payout)
    store.emit("payout.created", payout, account=account)
    return payout


def decide(store: Store, identifier: str, status: str) -> Body:
    """Say what the receiving bank does: ``in_transit``, ``paid``, or ``failed``, also later."""
    payout = store.any(identifier)
    if payout is None or payout["object"] != "payout":
        raise missing("payout", identifier)
    account = account_of(store, identifier)
    if payout["status"] in {"failed", "canceled"}:
        raise invalid("This payout is over.")
    payout["status"] = status
    if status in {"failed", "canceled"}:
        if status == "failed":
            payout |= {"failure_code": "account_closed", "failure_message": "Closed."}
        kind = "payout_failure" if status == "failed" else "payout_cancel"
        line = post_line(
            store, kind, payout["amount"], payout["currency"], identifier, account=account
        )
        payout["failure_balance_transaction"] = line["id"]
    store.save(payout)
    kinds = {"in_transit": "updated"}
    store.emit(f"payout.{kinds.get(status, status)}", payout, account=account)
    return payout


def cancel(store: Store, identifier: str, account: str) -> Body:
    payout = find(store, identifier, account)
    if payout["status"] != "pending":
        raise refused("Only a pending payout can be canceled.", code="payout_not_cancelable")
    return decide(store, identifier, "canceled")


def find(store: Store, identifier: str, account: str) -> Body:
    payout = store.get("payout", identifier, account=account)
    if payout is None:
        raise missing("payout", identifier)
    return payout


def account_of(store: Store, identifier: str) -> str:
    row = store.connection.execute(
        "SELECT account FROM object WHERE id = ?", (identifier,)
    ).fetchone()
    return str(row[0])
