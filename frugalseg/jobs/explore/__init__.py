"""What ``frugalseg explore`` finds out about features and models on a folder of annotated images: a file each."""
