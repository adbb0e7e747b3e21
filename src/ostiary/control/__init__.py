"""How commands reach a running server: a unix socket for its own user and for root, and nobody else."""
