"""What people look at: overlays, heat maps, plots and HTML pages that open anywhere without a network."""
