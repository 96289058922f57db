"""Very deep variational autoencoders: a hierarchy of latents, one for each block of the decoder."""
