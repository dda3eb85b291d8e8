"""Exchange of currencies: rates, quotes, and what an exchange posts.

A payment across currencies takes a quote in the transaction that posts it:

```python
quote = await take_quote(tx, tenant, payer, quote_id, payee_id=payee)
outcomes = await post_many(tx, postings_for(quote, payee_id=payee))
```
"""

from server.fx.adapters.reference_file import provider_of
from server.fx.jobs import RateJob, load_rates, purge_quotes, refresh_rates
from server.fx.postings import chain_of, postings_for
from server.fx.provider import RateProvider, RateSheet, RatesUnavailable
from server.fx.quotes import Quote, QuoteRequest, find_quote, make_quote, take_quote, void_quotes
from server.fx.rates import last_mids
from server.fx.report import FxReport, fx_report

__all__ = [
    "FxReport",
    "Quote",
    "QuoteRequest",
    "RateJob",
    "RateProvider",
    "RateSheet",
    "RatesUnavailable",
    "chain_of",
    "find_quote",
    "fx_report",
    "last_mids",
    "load_rates",
    "make_quote",
    "postings_for",
    "provider_of",
    "purge_quotes",
    "refresh_rates",
    "take_quote",
    "void_quotes",
]
