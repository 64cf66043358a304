"""What every test may ask for."""

from pathlib import Path

import pytest

pytest_plugins = ["databases"]

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"


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
