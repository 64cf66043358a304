"""Bodies, however the wire cuts them into chunks."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.adapters.body import PIECE_BYTES, Body, BodyError

CODINGS = st.sampled_from(["", "identity", "gzip"])


def received(wire: bytes, coding: str, *, size: int, max_bytes: int = 2**20) -> list[bytes]:
    body = Body(coding, max_bytes=max_bytes)
    chunks = [wire[at : at + size] for at in range(0, len(wire), size)]
    pieces = [piece for chunk in chunks for piece in body.feed(chunk)]
    pieces += body.finish()
    assert (body.wire_bytes, body.body_bytes) == (len(wire), sum(map(len, pieces)))
    return pieces


@given(st.binary(max_size=300), CODINGS, st.integers(1, 99))
def test_any_body_in_any_chunks_is_received_as_it_was_sent(content, coding, size):
    wire = gzip.compress(content) if coding == "gzip" else content
    assert b"".join(received(wire, coding, size=size)) == content


@given(st.binary(max_size=300), st.data(), st.integers(1, 99))
def test_no_gzip_stream_can_be_cut_unseen(content, data, size):
    wire = gzip.compress(content)
    cut = wire[: data.draw(st.integers(1, len(wire) - 1))]
    with pytest.raises(BodyError) as caught:
        received(cut, "gzip", size=size)
    assert caught.value.reason == "truncated"


def test_a_chunk_is_unzipped_a_bounded_piece_at_a_time():
    wire = gzip.compress(bytes(10 * PIECE_BYTES + 1))
    pieces = received(wire, "gzip", size=len(wire))
    assert [len(piece) for piece in pieces] == [PIECE_BYTES] * 10 + [1]


@pytest.mark.parametrize("coding", ["", "gzip"])
def test_the_limit_itself_is_within_the_limit(coding):
    content = bytes(1000)
    wire = gzip.compress(content) if coding else content
    assert received(wire, coding, size=100, max_bytes=1000)
    with pytest.raises(BodyError) as caught:
        received(wire, coding, size=100, max_bytes=999)
    assert caught.value.reason == "too_large"


def test_what_grows_by_being_zipped_counts_on_the_wire_too():
    with pytest.raises(BodyError) as caught:
        received(gzip.compress(b"x"), "gzip", size=100, max_bytes=10)
    assert caught.value.reason == "too_large"
