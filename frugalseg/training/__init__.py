"""What every long training shares: the trainer and its hardware, callbacks, batches by step, run folders."""
