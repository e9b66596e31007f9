"""Recipes of trainings, plans of comparisons (``compare/``) and plans of searches (``search/``), as YAML files."""
