"""podcast-monitor: follows podcasts by their transcripts."""

__version__ = "0.1.0"
