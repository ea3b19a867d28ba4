"""One module a notebook: how its tables become pictures."""
