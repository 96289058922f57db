"""Denoising diffusion models: the paper's own representation."""
