"""The pixel classifier: an ensemble of small networks on feature maps."""
