"""Which features suit the annotated images best, and how good a model of them is, without a test set."""
