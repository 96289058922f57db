"""Masked autoencoders: a vision transformer that learnt to fill in what it did not see."""
