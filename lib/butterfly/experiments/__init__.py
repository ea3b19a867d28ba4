"""One module a notebook: its parameters, the shards they unfold into, what a shard computes, the claims."""
