"""What an address on Substack's podcast host gives away."""

import re

# https://api.substack.com/feed/podcast/<post id>/<32 hex>.mp3, also behind tracker prefixes
# such as https://pscrb.fm/rss/p/api.substack.com/feed/podcast/…
_AUDIO = re.compile(
    r"https?://(?:[^?#]*/)?api\.substack\.com/feed/podcast/([0-9]+)/[0-9a-f]{8,}\.\w+",
    re.IGNORECASE,
)


def post_id_of(audio_url: str | None) -> str | None:
    """Return the id of the post that an enclosure belongs to, or None where it tells none."""
    match = _AUDIO.match(audio_url or "")
    return match[1] if match else None
