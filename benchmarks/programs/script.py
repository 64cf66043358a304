"""Polls feeds once, as a user would write it in an afternoon: httpx, feedparser, sqlite3."""

import sqlite3
import sys
from pathlib import Path

import feedparser
import httpx

SCHEMA = """
CREATE TABLE IF NOT EXISTS feeds (url TEXT PRIMARY KEY, etag TEXT, modified TEXT);
CREATE TABLE IF NOT EXISTS episodes (
    feed TEXT, guid TEXT, title TEXT, link TEXT, audio TEXT, published TEXT, summary TEXT,
    PRIMARY KEY (feed, guid)
);
"""


def poll(db: sqlite3.Connection, client: httpx.Client, url: str) -> None:
    known = db.execute("SELECT etag, modified FROM feeds WHERE url = ?", [url]).fetchone()
    etag, modified = known or (None, None)
    conditions = {"If-None-Match": etag, "If-Modified-Since": modified}
    answer = client.get(url, headers={name: value for name, value in conditions.items() if value})
    if answer.status_code == 304:
        return
    answer.raise_for_status()
    for entry in feedparser.parse(answer.content).entries:
        audio = next((link.href for link in entry.links if link.rel == "enclosure"), None)
        facts = [entry.get(name) for name in ("id", "title", "link", "published", "summary")]
        guid, title, link, published, summary = facts
        row = [url, guid, title, link, audio, published, summary]
        db.execute("INSERT OR IGNORE INTO episodes VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    validators = [url, answer.headers.get("etag"), answer.headers.get("last-modified")]
    db.execute("INSERT OR REPLACE INTO feeds VALUES (?, ?, ?)", validators)
    db.commit()


def main(database: str, urls: list[str]) -> None:
    db = sqlite3.connect(database)
    db.executescript(SCHEMA)
    with httpx.Client(follow_redirects=True, timeout=30) as client:
        for url in urls:
            poll(db, client, url)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).read_text().split())
