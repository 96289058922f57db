"""What every family's pretraining shares: the images at training size, the stream of batches, the run folder."""
