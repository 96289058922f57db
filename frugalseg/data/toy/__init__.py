"""Built-in images with exact masks."""
