"""The encoder of e4e, which finds the code of an image for a StyleGAN2 generator; its activations are features."""
