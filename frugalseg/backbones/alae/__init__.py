"""Adversarial latent autoencoders: a style-based generator, and an encoder that finds the code of an image."""
