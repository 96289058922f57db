"""Photographs as bad weather, cameras and files spoil them: the corruptions of ImageNet-C, at five severities.

They are those of Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Surface
Variations" (2019, arXiv 1903.12261), the 15 main ones and the four further ones, for images of any size as in Michaelis
et al., "Benchmarking Robustness in Object Detection" (2019, arXiv 1907.07484). Frost is left out, for it is made of
photographs of frosted glass.
"""
