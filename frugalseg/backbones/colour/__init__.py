"""The baseline family without a network: a pixel's own colour and where it stands."""
