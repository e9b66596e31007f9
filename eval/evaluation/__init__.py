"""The evaluation of a model on packed clips: coding, scoring, summary and tables."""
