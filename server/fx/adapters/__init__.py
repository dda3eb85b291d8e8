"""Where rates come from, each behind `server.fx.provider.RateProvider`."""
