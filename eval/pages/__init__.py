"""HTML pages: reports of evaluations, searches and training health."""
