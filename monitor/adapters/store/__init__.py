"""The database, and the only SQL.

``database`` opens and migrates it; the other modules hold plain functions, each one unit of
work on a connection that the caller's transaction owns (``Database.write``, ``Database.read``).
"""
