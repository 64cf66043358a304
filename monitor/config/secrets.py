"""Secrets that stand in files of their own: ``token_file``, ``password_file``, credentials."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from monitor.config.gathered import Gathered, KeyPath, is_there


def read_files(found: Gathered, layer: Mapping[str, Any], cwd: Path) -> None:
    """Put what ``token_file`` and ``password_file`` hold where the secret itself would stand."""
    for path, table in _tables(layer):
        key = "password" if path[0] == "podcasts" else "token"
        name = table.get(f"{key}_file")
        if not (isinstance(name, str) and name):
            continue
        if table.get(key):
            what = f"is set beside {key}; keep one of the two"
            found.mistake((*path, f"{key}_file"), what)
            continue
        try:
            table[key] = _secret(cwd / name)
            found.origins[*path, key] = str(cwd / name)
        except ValueError as error:
            found.mistake((*path, f"{key}_file"), f"{name} {error}")


def read_credentials(found: Gathered, directory: Path) -> None:
    """Read systemd's (``LoadCredential=``): database, stenobird-token and NAME-password."""
    places: list[tuple[KeyPath, dict[str, Any], str]] = [(("database",), found.data, "database")]
    if isinstance(stenobird := found.data.setdefault("stenobird", {}), dict):
        places.append((("stenobird", "token"), stenobird, "stenobird-token"))
    for path, table in _tables(found.data):
        if path[0] == "podcasts" and isinstance(table.get("name"), str):
            places.append(((*path, "password"), table, f"{table['name']}-password"))
    for path, table, name in places:
        credential = directory / name
        if "/" in name or not is_there(credential):
            continue
        found.origins[path] = str(credential)
        try:
            table[str(path[-1])] = _secret(credential)
        except ValueError as error:
            found.mistake(path, str(error))


def _tables(data: Mapping[str, Any]) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    """Yield the tables that may hold secrets, as far as they are tables."""
    if isinstance(stenobird := data.get("stenobird"), dict):
        yield ("stenobird",), stenobird
    if isinstance(podcasts := data.get("podcasts"), list):
        for index, podcast in enumerate(podcasts):
            if isinstance(podcast, dict):
                yield ("podcasts", index), podcast


def _secret(file: Path) -> str:
    """Return a file's text without the line break at its end.

    Raises:
        ValueError: it cannot be read or is empty; the text says so, without the file's name.
    """
    try:
        secret = file.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ValueError(
            f"cannot be read ({error.strerror}); give a file that this user may read"
        ) from None
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8; save it as UTF-8") from None
    if not secret:
        raise ValueError("is empty; write the secret into it, or remove it")
    return secret
