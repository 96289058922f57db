"""What every long training shares: the trainer, its callbacks, its stream of batches, its folder."""
