"""ResNets trained with SwAV (Caron et al. 2020): published files of any width, and our own for small images."""
