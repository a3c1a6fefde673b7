"""MNIST and Fashion-MNIST from the web, once: checked against known sums and kept in a cache."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """Where a data set's files lie: base addresses, tried in order, and each file's checksum."""

    mirrors: tuple[str, ...]
    checksums: dict[str, str]  # file name -> "md5:..."


SOURCES = {
    "mnist": Source(
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://sagemaker-sample-files.s3.amazonaws.com/datasets/image/MNIST/",
        ),
        checksums={
            "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
        },
    ),
    "fashion-mnist": Source(
        mirrors=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        checksums={
            "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
        },
    ),
}


def fetch(name: str) -> Path:
    """The folder with the files of SOURCES[name]; those that the cache lacks are downloaded.

    The cache is the folder TINYAE_DATA of the environment, else the user's cache folder for
    "tinyae". A file gets its name only once its checksum is right.
    Raises ValueError for an unknown name, ImportError without pooch, and OSError, with what
    each mirror said, if a file cannot be had from any.
    """
    if name not in SOURCES:
        raise ValueError(f"name must be one of {', '.join(SOURCES)}, got {name!r}")
    try:
        import pooch
    except ImportError:
        raise ImportError('downloading needs pooch: pip install "tinyae[download]"') from None

    cache = os.environ.get("TINYAE_DATA")
    folder = (Path(cache).expanduser() if cache else Path(pooch.os_cache("tinyae"))) / name
    folder.mkdir(parents=True, exist_ok=True)
    mirrors = list(SOURCES[name].mirrors)
    for file, checksum in SOURCES[name].checksums.items():
        said = []
        for mirror in mirrors:
            try:
                pooch.retrieve(mirror + file, checksum, fname=file, path=folder)
            except (OSError, ValueError) as error:  # of the network; of the checksum
                said.append(f"  {mirror}{file}: {error}")
            else:
                # whoever had this file is asked first for the next
                mirrors.sort(key=mirror.__ne__)
                break
        else:
            raise OSError(
                f"{file} of {name} could not be downloaded:\n" + "\n".join(said) + "\n"
                f"To go on offline, put {', '.join(SOURCES[name].checksums)} into a folder and "
                "pass its path in place of the name."
            )
    return folder
