"""What every test may ask for."""

import gc
from pathlib import Path

import pytest

pytest_plugins = ["databases"]

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"


def pytest_collection_finish() -> None:
    """Leave out of every later collection what was imported: some tests collect hundreds of times."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def anyio_backend() -> str:
    """Coroutine tests (``pytest.mark.anyio``) run on asyncio, as the daemon does."""
    return "asyncio"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The captured feeds beside the checkout; a test that asks for them is skipped without."""
    if not SHARED.is_dir():
        pytest.skip("captured material (../shared) is not beside this checkout")
    return SHARED
