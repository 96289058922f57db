"""The networks of StyleGAN2 (Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN").

Parameters and buffers have the names of the published checkpoints, those of stylegan2-ada-pytorch. Letters in comments:
B images, I channels of an input, O channels of an output, R pixels along a side, N layers that take a latent of their
own, W values of such a latent.
"""
