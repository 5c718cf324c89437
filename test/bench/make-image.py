#!/usr/bin/env python3
"""make-image.py FOLDER [MIB ...] - an OCI layout with one image twice, tagged
gzip and zstd after how its layers are compressed: one of each size (default 80
50 30 20 15 5: 200 MiB), that compress about as programs do. The content is the
same on every run."""
import gzip
import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tarfile

LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def content(rng, size):
    """Half noise, half repetition, in runs of 4 KiB."""
    phrase = bytes(rng.randrange(256) for _ in range(64))
    out = bytearray()
    while len(out) < size:
        out += rng.randbytes(2048)
        out += phrase * 32
    return bytes(out[:size])


def layer(rng, number, size):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder in range(8):
            info = tarfile.TarInfo(f"layer{number}/d{folder}")
            info.type = tarfile.DIRTYPE
            info.mode = 0o755
            tar.addfile(info)
        left, count = size, 0
        while left > 0:
            # One file in forty is large, as in /usr/lib.
            most = 4 << 20 if count % 40 == 0 else 64 << 10
            length = min(left, rng.randrange(most))
            name = f"layer{number}/d{count % 8}/f{count}"
            info = tarfile.TarInfo(name)
            info.size = length
            info.mtime = 1700000000
            tar.addfile(info, io.BytesIO(content(rng, length)))
            left -= length
            count += 1
    return raw.getvalue()


def put(folder, data):
    digest = hashlib.sha256(data).hexdigest()
    with open(f"{folder}/blobs/sha256/{digest}", "wb") as file:
        file.write(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def compress(format, tar):
    if format == "gzip":
        return gzip.compress(tar, 6, mtime=0)
    return subprocess.run(["zstd", "-q", "-3", "-c"], input=tar,
                          stdout=subprocess.PIPE, check=True).stdout


def image(folder, format, tars):
    """An image of these layers; its entry for index.json."""
    config = {"architecture": os.environ.get("GOARCH", "amd64"), "os": "linux",
              "config": {"Cmd": ["/bin/true"]},
              "rootfs": {"type": "layers", "diff_ids": [
                  "sha256:" + hashlib.sha256(tar).hexdigest() for tar in tars]}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG,
                   **put(folder, json.dumps(config).encode())},
        "layers": [{"mediaType": f"{LAYER}+{format}",
                    **put(folder, compress(format, tar))} for tar in tars]}
    return {"mediaType": MANIFEST,
            **put(folder, json.dumps(manifest).encode()),
            "annotations": {"org.opencontainers.image.ref.name": format}}


def main():
    folder = sys.argv[1]
    sizes = [int(size) for size in sys.argv[2:]] or [80, 50, 30, 20, 15, 5]
    rng = random.Random(7)
    os.makedirs(f"{folder}/blobs/sha256")
    tars = [layer(rng, number, size << 20)
            for number, size in enumerate(sizes)]
    entries = [image(folder, format, tars) for format in ("gzip", "zstd")]
    with open(f"{folder}/index.json", "w") as file:
        json.dump({"schemaVersion": 2, "manifests": entries}, file)
    with open(f"{folder}/oci-layout", "w") as file:
        json.dump({"imageLayoutVersion": "1.0.0"}, file)


main()
