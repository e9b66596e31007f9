"""The health of a training run: findings and their page."""
