"""Random changes of what a discriminator sees (Karras et al. 2020, "Training GANs with Limited Data", appendix B).

Photographs and drawn images are changed alike, each change with a probability p, so that the discriminator cannot learn
the photographs by heart and the generator does not learn the changes. Everything can be differentiated twice, as the
penalty on the discriminator's gradients needs it.
"""
