"""Campaigns: histories full of faults, each judged afterwards by one checker.

``history`` is what a history leaves behind, as plain data; ``checker`` judges it and shares no code
with the daemon; ``figures`` is what a campaign reports. Every other module is one campaign, whose
``run(count, seed)`` lives that many histories. ``make test`` runs each a little
(``test_*.py``); ``make chaos`` runs them all at length (``python -m tests.campaigns``) and prints
one table, and ``python -m tests.campaigns NAME --seed N --count 1`` repeats any history.
"""
