"""What every family's pretraining shares: its module and settings, the images at training size, the run."""
