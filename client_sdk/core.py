"""The exchange as a state machine: state and input give the next state and what to do about it.

Nothing here reads a clock, a file or a socket. The caller carries the effects out in their order;
an effect that writes is durable before the next one starts. There is no input for a time-out:
time alone never decides about money.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from client_sdk.errors import ExchangeStateError


class State(StrEnum):
    """Where an exchange stands; the first group is the payer's, the second the payee's.

    Returns and claims are outgoing exchanges too: they go through the payer's states.
    """

    IDLE = "idle"
    LOCKED = "locked"
    SIGNED = "signed"
    SENT = "sent"
    IN_DOUBT = "in_doubt"
    ACKED = "acked"

    OPEN = "open"
    SHOWN = "shown"
    VERIFIED = "verified"
    STORED = "stored"
    RECEIPTED = "receipted"
    SPENT = "spent"
    CLAIMED = "claimed"

    RETURNED = "returned"
    SETTLED = "settled"


class Input(StrEnum):
    """What can happen to an exchange."""

    CONFIRM = "confirm"
    """The person (or the wallet's policy) wants this payment, return or claim."""
    CONTINUE = "continue"
    """The step before is durable; also what a restart feeds in."""
    HAND_OVER = "hand_over"
    """A way to the other side is there: a code is shown, a connection stands, a sync runs."""
    LINK_LOST = "link_lost"
    RECEIPT = "receipt"
    RETURN = "return"
    VERDICT = "verdict"
    """The server says that this value is settled for good."""

    SHOW = "show"
    PAYMENT = "payment"
    """A payment for this request arrived and every rule holds."""
    SEND_BACK = "send_back"
    """The payee signs the whole payment back."""
    SPEND = "spend"
    CLAIM = "claim"


class Effect(StrEnum):
    """What the caller does, in order."""

    RESERVE = "reserve"
    """One transaction: take the intervals out of the holdings, fix sequence numbers and times."""
    WITNESS = "witness"
    """Tell the witness outside the file that this reservation exists, before anything is signed."""
    SIGN = "sign"
    STORE_BYTES = "store_bytes"
    """The exact bytes that will leave."""
    SAVE = "save"
    SEND = "send"
    STORE_PAYMENT = "store_payment"
    SHOW_PAID = "show_paid"
    STORE_RECEIPT = "store_receipt"
    STORE_RETURN = "store_return"
    TELL_IN_DOUBT = "tell_in_doubt"


class Step(NamedTuple):
    """The state arrived at, and how: the first writing effect records the new state."""

    state: State
    effects: tuple[Effect, ...] = ()


_RESEND: Final = (Effect.SEND,)
_PAID_AGAIN: Final = (Effect.SHOW_PAID, Effect.SEND)

TRANSITIONS: Final[dict[tuple[State, Input], Step]] = {
    # The payer: reserve, sign, store, and only then send. What was sent is sent again unchanged.
    (State.IDLE, Input.CONFIRM): Step(State.LOCKED, (Effect.RESERVE,)),
    (State.LOCKED, Input.CONTINUE): Step(
        State.SIGNED, (Effect.WITNESS, Effect.SIGN, Effect.STORE_BYTES)
    ),
    # A copy of the wallet that was put back may not sign; the server settles what it had reserved.
    (State.LOCKED, Input.VERDICT): Step(State.SETTLED, (Effect.SAVE,)),
    (State.SIGNED, Input.HAND_OVER): Step(State.SENT, (Effect.SAVE, Effect.SEND)),
    (State.SIGNED, Input.VERDICT): Step(State.SETTLED, (Effect.SAVE,)),
    (State.SENT, Input.HAND_OVER): Step(State.SENT, _RESEND),
    (State.IN_DOUBT, Input.HAND_OVER): Step(State.IN_DOUBT, _RESEND),
    (State.ACKED, Input.HAND_OVER): Step(State.ACKED, _RESEND),
    (State.SENT, Input.LINK_LOST): Step(State.IN_DOUBT, (Effect.SAVE, Effect.TELL_IN_DOUBT)),
    (State.IN_DOUBT, Input.LINK_LOST): Step(State.IN_DOUBT, (Effect.TELL_IN_DOUBT,)),
    (State.ACKED, Input.LINK_LOST): Step(State.ACKED),
    (State.SENT, Input.RECEIPT): Step(State.ACKED, (Effect.STORE_RECEIPT,)),
    (State.IN_DOUBT, Input.RECEIPT): Step(State.ACKED, (Effect.STORE_RECEIPT,)),
    (State.ACKED, Input.RECEIPT): Step(State.ACKED),
    (State.SETTLED, Input.RECEIPT): Step(State.SETTLED, (Effect.STORE_RECEIPT,)),
    (State.SENT, Input.RETURN): Step(State.RETURNED, (Effect.STORE_RETURN,)),
    (State.IN_DOUBT, Input.RETURN): Step(State.RETURNED, (Effect.STORE_RETURN,)),
    (State.ACKED, Input.RETURN): Step(State.RETURNED, (Effect.STORE_RETURN,)),
    (State.RETURNED, Input.RETURN): Step(State.RETURNED),
    (State.RETURNED, Input.RECEIPT): Step(State.RETURNED),
    (State.RETURNED, Input.LINK_LOST): Step(State.RETURNED),
    (State.SENT, Input.VERDICT): Step(State.SETTLED, (Effect.SAVE,)),
    (State.IN_DOUBT, Input.VERDICT): Step(State.SETTLED, (Effect.SAVE,)),
    (State.ACKED, Input.VERDICT): Step(State.SETTLED, (Effect.SAVE,)),
    # The payee: verify, store, and only then show "paid" and give the receipt.
    (State.OPEN, Input.SHOW): Step(State.SHOWN, (Effect.SAVE,)),
    (State.SHOWN, Input.SHOW): Step(State.SHOWN),
    (State.SHOWN, Input.PAYMENT): Step(State.VERIFIED),
    (State.VERIFIED, Input.CONTINUE): Step(State.STORED, (Effect.STORE_PAYMENT,)),
    (State.STORED, Input.CONTINUE): Step(
        State.RECEIPTED, (Effect.SIGN, Effect.STORE_BYTES, *_PAID_AGAIN)
    ),
    (State.RECEIPTED, Input.PAYMENT): Step(State.RECEIPTED, _PAID_AGAIN),
    (State.SPENT, Input.PAYMENT): Step(State.SPENT, _PAID_AGAIN),
    (State.CLAIMED, Input.PAYMENT): Step(State.CLAIMED, _PAID_AGAIN),
    (State.SETTLED, Input.PAYMENT): Step(State.SETTLED, _PAID_AGAIN),
    (State.RETURNED, Input.PAYMENT): Step(State.RETURNED, _RESEND),
    (State.STORED, Input.SEND_BACK): Step(State.RETURNED, (Effect.SAVE,)),
    (State.RECEIPTED, Input.SEND_BACK): Step(State.RETURNED, (Effect.SAVE,)),
    (State.RECEIPTED, Input.SPEND): Step(State.SPENT, (Effect.SAVE,)),
    (State.SPENT, Input.SPEND): Step(State.SPENT),
    (State.CLAIMED, Input.SPEND): Step(State.CLAIMED),
    (State.RECEIPTED, Input.CLAIM): Step(State.CLAIMED, (Effect.SAVE,)),
    (State.SPENT, Input.CLAIM): Step(State.CLAIMED, (Effect.SAVE,)),
    (State.CLAIMED, Input.CLAIM): Step(State.CLAIMED),
    (State.STORED, Input.VERDICT): Step(State.SETTLED, (Effect.SAVE,)),
    (State.RECEIPTED, Input.VERDICT): Step(State.SETTLED, (Effect.SAVE,)),
    (State.SPENT, Input.VERDICT): Step(State.SETTLED, (Effect.SAVE,)),
    (State.CLAIMED, Input.VERDICT): Step(State.SETTLED, (Effect.SAVE,)),
    # Settled, or returned, is the end for both.
    (State.SETTLED, Input.VERDICT): Step(State.SETTLED),
    (State.SETTLED, Input.HAND_OVER): Step(State.SETTLED, _RESEND),
    (State.SETTLED, Input.LINK_LOST): Step(State.SETTLED),
    (State.RETURNED, Input.VERDICT): Step(State.RETURNED),
}

PAYER_STATES: Final = frozenset(
    {
        State.IDLE,
        State.LOCKED,
        State.SIGNED,
        State.SENT,
        State.IN_DOUBT,
        State.ACKED,
        State.RETURNED,
        State.SETTLED,
    }
)
PAYEE_STATES: Final = (frozenset(State) - PAYER_STATES) | {State.RETURNED, State.SETTLED}

UNCONFIRMED: Final = frozenset({State.SIGNED, State.SENT, State.IN_DOUBT})
"""A payer's states in which the value is signed away and nobody has confirmed it."""

FINISHED: Final = frozenset({State.RETURNED, State.SETTLED})


def step(state: State, happened: Input) -> Step:
    """What follows.

    Raises:
        ExchangeStateError: nothing may follow; the state stays as it is.
    """
    found = TRANSITIONS.get((state, happened))
    if found is None:
        raise ExchangeStateError(
            f"An exchange that is {state.value!r} cannot take {happened.value!r}."
        )
    return found
