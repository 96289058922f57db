"""Several backbones as one: their maps are put together, and each part sees the image at its own scale."""
