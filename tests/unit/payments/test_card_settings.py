"""Settings of the card gateway are refused where nothing could come of them, and keep secrets."""

import pytest

from server.settings import Settings, SettingsError, load_settings

KEYS = {"TALLYSTICK_CARD_GATEWAY": "stripe", "TALLYSTICK_STRIPE_KEY": "sk_test_secret"}


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({"TALLYSTICK_CARD_GATEWAY": "paypal"}, "'sandbox' or 'stripe'"),
        ({"TALLYSTICK_CARD_GATEWAY": "stripe"}, "needs TALLYSTICK_STRIPE_KEY"),
        (KEYS | {"TALLYSTICK_STRIPE_URL": "http://pay.example"}, "https"),
        (KEYS | {"TALLYSTICK_STRIPE_URL": "https://user@pay.example"}, "https"),
    ],
)
def test_what_makes_no_sense_is_refused(environment: dict[str, str], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        load_settings(environment)


def test_secrets_are_not_shown_and_lists_are_split() -> None:
    secrets = {"TALLYSTICK_STRIPE_WEBHOOK_SECRETS": "whsec_one, whsec_two,"}
    settings = load_settings(KEYS | secrets | {"TALLYSTICK_STRIPE_METHODS": "card,sepa_debit"})
    assert settings.webhook_secrets == ["whsec_one", "whsec_two"]
    assert settings.payment_methods == ["card", "sepa_debit"]
    assert "secret" not in repr(settings).replace("stripe_webhook_secrets", "")
    assert "whsec" not in repr(settings)
    assert Settings().webhook_secrets == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:12111", "https://stripe.example"])
def test_another_address_is_encrypted_or_on_this_machine(url: str) -> None:
    assert load_settings(KEYS | {"TALLYSTICK_STRIPE_URL": url}).stripe_url == url
