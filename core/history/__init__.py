"""History of a branch: a tree of steps in SQLite, recipes and their replay."""
