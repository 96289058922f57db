"""GAN inversion: the activations of a StyleGAN2 generator while it draws a given image again."""
