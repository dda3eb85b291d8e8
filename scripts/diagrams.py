"""The two state machines of an exchange as Mermaid text, drawn from the table that runs them."""

from collections import defaultdict
from collections.abc import Collection
from typing import Final

from client_sdk.core import PAYEE_STATES, PAYER_STATES, TRANSITIONS, Effect, Input, State

WORDS: Final = {
    Input.CONFIRM: "confirmed",
    Input.CONTINUE: "go on",
    Input.HAND_OVER: "handed over",
    Input.LINK_LOST: "link lost",
    Input.RECEIPT: "receipt",
    Input.RETURN: "return",
    Input.VERDICT: "verdict",
    Input.SHOW: "shown",
    Input.PAYMENT: "payment",
    Input.SEND_BACK: "sent back",
    Input.SPEND: "spent",
    Input.CLAIM: "claimed",
}
PAYER_ONLY: Final = frozenset(
    {Input.CONFIRM, Input.HAND_OVER, Input.LINK_LOST, Input.RECEIPT, Input.RETURN}
)
PAYEE_ONLY: Final = frozenset(
    {Input.SHOW, Input.PAYMENT, Input.SEND_BACK, Input.SPEND, Input.CLAIM}
)

_HEAD = """# The exchange, state by state

What a device does in a payment is a table, `client_sdk.core.TRANSITIONS`; this page is drawn from
it. A step goes to its next state and does its effects in their order. The first effect that writes
(reserve, save, store ...) records the new state, and each is durable before the next one begins.
An input for which a state has no line is an error and changes nothing. There is no input for a
time-out: time alone never decides about money. An arrow from a state to itself is left out of the
drawings and stands in the tables.

## Payer

Returns and claims go this way too: they are transfers that somebody signs away. What is locked,
signed, sent or in doubt is spendable nowhere. Only a receipt, a signed return or the server's
verdict leads out.

"""
_PAYEE = """
## Payee

"""
_EFFECTS = """
## Effects

| effect | what the device does |
| --- | --- |
"""
MEANING: Final = {
    Effect.RESERVE: "One transaction takes the intervals out of the holdings and fixes every byte "
    "that will be signed, sequence numbers and time too.",
    Effect.WITNESS: "The witness outside the wallet file learns that this reservation exists. A "
    "file that is older than its witness signs nothing.",
    Effect.SIGN: "Signs what was fixed: signing again after a crash gives the same ids.",
    Effect.STORE_BYTES: "Stores the exact bytes that will leave.",
    Effect.SAVE: "Stores the new state.",
    Effect.SEND: "The stored bytes leave, the same ones every time.",
    Effect.STORE_PAYMENT: "Stores the payment with all its chains; its value is spendable here.",
    Effect.SHOW_PAID: 'Shows "paid" to the payee.',
    Effect.STORE_RECEIPT: "Stores the payee's receipt.",
    Effect.STORE_RETURN: "Stores the return; the value is spendable again, under a new parent.",
    Effect.TELL_IN_DOUBT: 'Shows "sent, not confirmed" to the payer.',
}


def exchange_page() -> str:
    """docs/reference/exchange.md."""
    return (
        _HEAD
        + payer_diagram()
        + "\n"
        + transition_table(PAYER_STATES, PAYEE_ONLY)
        + _PAYEE
        + payee_diagram()
        + "\n"
        + transition_table(PAYEE_STATES, PAYER_ONLY)
        + _EFFECTS
        + "".join(f"| {_name(effect)} | {MEANING[effect]} |\n" for effect in Effect)
    )


def payer_diagram() -> str:
    """The payer's side, and that of returns and claims."""
    return _diagram(PAYER_STATES, State.IDLE, PAYEE_ONLY)


def payee_diagram() -> str:
    return _diagram(PAYEE_STATES, State.OPEN, PAYER_ONLY)


def transition_table(states: Collection[State], foreign: Collection[Input]) -> str:
    """Every step that begins in one of the states, as a Markdown table."""
    rows = [
        f"| {state.value} | {WORDS[happened]} | {step.state.value} | {_effects(step.effects)} |\n"
        for (state, happened), step in TRANSITIONS.items()
        if state in states and happened not in foreign
    ]
    head = "| state | input | next | effects, in order |\n| --- | --- | --- | --- |\n"
    return head + "".join(rows)


def _diagram(states: Collection[State], first: State, foreign: Collection[Input]) -> str:
    """One arrow for each pair of states, with all inputs that lead along it."""
    arrows: dict[tuple[State, State], list[str]] = defaultdict(list)
    ends = set(states)
    for (state, happened), step in TRANSITIONS.items():
        if state not in states or happened in foreign:
            continue
        if step.state is not state:
            arrows[state, step.state].append(WORDS[happened])
            ends.discard(state)
    lines = ["stateDiagram-v2", f"    [*] --> {first.value}"]
    for (before, after), inputs in arrows.items():
        lines.append(f"    {before.value} --> {after.value}: {', '.join(inputs)}")
    lines += [f"    {state.value} --> [*]" for state in State if state in ends]
    return "```mermaid\n" + "\n".join(lines) + "\n```\n"


def _effects(effects: Collection[Effect]) -> str:
    return ", ".join(map(_name, effects)) or "none"


def _name(effect: Effect) -> str:
    return effect.value.replace("_", " ")
