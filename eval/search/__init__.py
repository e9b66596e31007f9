"""``codec search``: genetic and random search of recipes and operating points, with successive halving."""
