"""Networks of StyleGAN2 from the files that people publish, and from the folders that we write."""
