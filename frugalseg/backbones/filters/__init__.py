"""The family without a network for images that no network knows: a bank of filters at several scales."""
