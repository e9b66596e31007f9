"""Many machines: units of work, and the clusters whose processes compute them, of Ray or of SLURM."""
