"""Students: ordinary segmentation networks that learn from many images labelled by a fitted model."""
