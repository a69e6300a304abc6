"""Packs the folders of a build into archives, so that `sam deploy` uploads them as they are."""

import os
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import yaml

TEMPLATE: Final = "template.yaml"
_FOLDERS: Final = ("CodeUri", "ContentUri")
_COMPRESSION: Final = 1  # the fastest: LocalStack is on this machine, and keeps what it gets in memory
_READABLE: Final = 0o444


def pack(build: Path) -> None:
    """Pack each folder of a function or layer into an archive next to it, and make the template refer to the archive.

    `sam deploy` packs folders itself, but anew at every deployment, which takes it half a minute.
    """
    template = build / TEMPLATE
    content = yaml.safe_load(template.read_text())
    places = [
        (properties, name, build / folder)
        for properties in (resource.get("Properties", {}) for resource in content["Resources"].values())
        for name in _FOLDERS
        if isinstance(folder := properties.get(name), str) and (build / folder).is_dir()
    ]
    folders = {folder for _, _, folder in places}  # functions may share one
    with ThreadPoolExecutor(os.process_cpu_count()) as pool:  # Python's lock is free while zlib compresses
        archives = dict(zip(folders, pool.map(_archive, folders), strict=True))
    for properties, name, folder in places:
        properties[name] = archives[folder].name
    template.write_text(yaml.safe_dump(content, sort_keys=False, width=1000))


def _archive(folder: Path) -> Path:
    """The archive. Its bytes depend only on the names, modes and contents of the files: `sam` names it by its hash.

    Files have the earliest time of the format, as in the archives that `sam` makes.
    """
    archive = folder.with_name(f"{folder.name}.zip")
    if archive.exists():
        return archive
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=_COMPRESSION) as packed:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(str(file.relative_to(folder)))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, whose modes follow
            entry.external_attr = (file.stat().st_mode | _READABLE) << 16
            entry.file_size = file.stat().st_size
            with file.open("rb") as source, packed.open(entry, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)
    return archive
