"""StyleGAN2: a generator of images whose own activations are features, as in DatasetGAN."""
