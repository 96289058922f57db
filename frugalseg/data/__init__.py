"""Folders of images and masks, class tables, the data doctor and the toy images."""
