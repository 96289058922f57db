"""Any network of the timm library, with the weights that are published for it, one's own, or random ones."""
