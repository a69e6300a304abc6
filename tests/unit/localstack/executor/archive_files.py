"""Makes zip archives for tests."""

import io
import stat
import zipfile


def zipped(*entries: tuple[str | zipfile.ZipInfo, str]) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for entry, content in entries:
            archive.writestr(entry, content)
    buffer.seek(0)
    return buffer


def entry(name: str, mode: int = stat.S_IFREG | 0o644, **attributes: object) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (2024, 5, 17, 10, 20, 30))
    info.external_attr = mode << 16
    for key, value in attributes.items():
        setattr(info, key, value)
    return info
