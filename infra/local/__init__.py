"""The whole platform on one machine: install it, start it, watch it, stop it."""
