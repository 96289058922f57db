"""Recipes in, tables out: methods compared over several runs, the demo among them."""
