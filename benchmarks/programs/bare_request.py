"""GET of a feed, GET of an episode, POST of its request, with ``httpx.Client``, for each feed."""

import sys

import httpx


def main(origin: str, names: list[str]) -> None:
    with httpx.Client() as client:
        client.get(origin)  # connected, as a daemon may well be
        for name in names:
            episode = f"{origin}/v1/public/podcasts/{name}/episodes/newest"
            client.get(f"{origin}/{name}.rss").raise_for_status()
            client.get(episode).raise_for_status()
            client.post(f"{episode}/transcription-requests").raise_for_status()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
