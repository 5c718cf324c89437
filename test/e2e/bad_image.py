#!/usr/bin/python3
"""Images that no builder makes: `bad_image.py KIND DIR TARGET` writes an OCI
layout DIR:latest, something of which is wrong. TARGET is an absolute path that
its layer tries to write to, or its volumes to read."""

import gzip
import hashlib
import io
import json
import os
import sys
import tarfile

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
UP = "../" * 40


class Layer:
    def __init__(self):
        self.bytes = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.bytes, mode="w",
                                format=tarfile.PAX_FORMAT)

    def file(self, name, text=b"escaped\n"):
        entry = tarfile.TarInfo(name)
        entry.size = len(text)
        self.tar.addfile(entry, io.BytesIO(text))

    def program(self, name):
        self.tar.add("/bin/" + name, "bin/" + name)

    def link(self, name, target, kind=tarfile.SYMTYPE):
        entry = tarfile.TarInfo(name)
        entry.type = kind
        entry.linkname = target
        self.tar.addfile(entry)

    def close(self):
        self.tar.close()
        return self.bytes.getvalue()


# ---- layers that try to climb out; each leaves its last entry's name ----

def parent(layer, target):
    layer.file(UP + target)


def parent_inside(layer, target):
    layer.file("a/b/../" + UP + target)


def absolute(layer, target):
    layer.file(target)


def symlink(layer, target):
    layer.link("out", os.path.dirname(target))
    layer.file("out/" + os.path.basename(target))


def symlink_parent(layer, target):
    layer.link("out", UP + os.path.dirname(target))
    layer.file("out/" + os.path.basename(target))


def symlink_itself(layer, target):
    layer.link("out", target)
    layer.file("out")


def symlink_chain(layer, target):
    layer.link("a", "/")
    layer.link("b", "a" + os.path.dirname(target))
    layer.file("b/" + os.path.basename(target))


def hardlink(layer, target):
    layer.link("out", target, tarfile.LNKTYPE)


def hardlink_parent(layer, target):
    layer.link("out", UP + target, tarfile.LNKTYPE)


def hardlink_symlink(layer, target):
    layer.link("out", os.path.dirname(target))
    layer.link("in", "out/" + os.path.basename(target), tarfile.LNKTYPE)


def plain(layer, _target):
    layer.file("etc/hello")


def box(layer, target):
    layer.program("busybox")
    layer.link("bin/sleep", "busybox")
    layer.link("link", os.path.dirname(target))


volumes = labels = annotations = box


# ---- what images say to engines; Kontor does not listen ----

def asked_volumes(target):
    outside = os.path.dirname(target)
    return {path: {} for path in (
        outside, "/link", "/link/../..", "/" + UP + outside, "../..", "/dev",
        "/proc", "/bin/..", "volume", "", "/")}


def asked_labels(target):
    """Keys of Kontor's own fields, of containerd's restart monitor
    (CVE-2026-53488), CRI, Docker and Podman."""
    words = {key: "true" for key in (
        "privileged", "userns", "host_network", "io.podman.annotations.privileged",
        "io.kubernetes.cri-o.userns-mode", "io.kubernetes.cri.sandbox-privileged")}
    words |= {"kontor.io/" + key: value for key, value in (
        ("cap_add", "ALL"), ("user", "77"), ("privileged", "true"),
        ("pod_id", "1"), ("cgroup", "/"), ("node", "n2"))}
    return words | {
        "cap_add": "ALL", "user": "77", "stop_signal": "9",
        "resources": '{"memory_bytes": 0, "cpu_milli": 0}',
        "tmpfs": "/link", "volumes": "/:/link",
        "containerd.io/restart.status": "running",
        "containerd.io/restart.loguri": "binary:///bin/touch?" + target,
        "containerd.io/restart.logpath": target,
        "io.kubernetes.cri.container-type": "sandbox",
        "run.oci.hooks.stderr": target,
        "org.criu.config": target,
        "devices": "/dev/mem"}


# ---- and images whose parts do not belong together ----

def descriptor(folder, kind, data):
    digest = hashlib.sha256(data).hexdigest()
    with open(os.path.join(folder, "blobs", "sha256", digest), "wb") as file:
        file.write(data)
    return {"mediaType": kind, "digest": "sha256:" + digest,
            "size": len(data)}


def save(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="ascii") as file:
        json.dump(value, file)


def main():
    kind, folder, target = sys.argv[1:]
    os.makedirs(os.path.join(folder, "blobs", "sha256"))
    layer = Layer()
    globals().get(kind, plain)(layer, target)
    tar = layer.close()
    packed = gzip.compress(tar)
    unpacked = tar if kind != "diff_id" else tar + b"more"
    config = {"architecture": "amd64", "os": "linux",
              "config": {"Cmd": ["/no/such/program"]},
              "rootfs": {"type": "layers", "diff_ids": [
                  "sha256:" + hashlib.sha256(unpacked).hexdigest()]}}
    if kind == "volumes":
        config["config"]["Volumes"] = asked_volumes(target)
    if kind == "labels":
        config["config"]["Labels"] = asked_labels(target)
        config["container_config"] = {"HostConfig": {
            "Privileged": True, "Binds": ["/:/link"]}}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST,
                "config": descriptor(folder, CONFIG,
                                     json.dumps(config).encode()),
                "layers": [descriptor(folder, LAYER, packed)]}
    if kind == "layer_type":
        manifest["layers"][0]["mediaType"] = "application/x-rar"
    if kind == "config_type":
        manifest["config"]["mediaType"] = "application/vnd.cncf.helm+json"
    said = asked_labels(target) if kind == "annotations" else {}
    if said:
        for part in (manifest, manifest["config"], manifest["layers"][0]):
            part["annotations"] = said
    entry = descriptor(folder, MANIFEST, json.dumps(manifest).encode())
    if kind == "manifest_type":
        entry["mediaType"] = "application/vnd.docker.plugin.v1+json"
    if kind == "digest":
        path = os.path.join(folder, "blobs",
                            manifest["layers"][0]["digest"].replace(":", "/"))
        with open(path, "r+b") as file:
            file.seek(-9, os.SEEK_END)
            file.write(b"!")
    entry["annotations"] = said | {
        "org.opencontainers.image.ref.name": "latest"}
    save(folder, "oci-layout", {"imageLayoutVersion": "1.0.0"})
    save(folder, "index.json", {"schemaVersion": 2, "manifests": [entry]})


main()
