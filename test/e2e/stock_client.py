#!/usr/bin/python3
"""A stock gRPC client: Debian's python3-grpcio, stubs made from the project's
own .proto files. `stock_client.py CASE PKI CLUSTER NODE [ARG]` runs one case against
HOST:PORT of a master and of a node; it exits 0 when the answer was right and
says what came instead when not."""

import importlib
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time

import grpc

HERE = os.path.dirname(os.path.abspath(__file__))
PROTOS = os.path.join(HERE, "..", "..", "proto")


def stubs():
    """Compile the .proto files and import what comes out."""
    out = tempfile.mkdtemp(prefix="kontor-stubs-")
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I", PROTOS,
         f"--python_out={out}", f"--grpc_python_out={out}",
         "kontor/v1/types.proto", "kontor/v1/cluster.proto",
         "kontor/v1/node.proto"], check=True)
    sys.path.insert(0, out)
    names = ("types_pb2", "cluster_pb2", "cluster_pb2_grpc", "node_pb2",
             "node_pb2_grpc")
    try:
        return [importlib.import_module(f"kontor.v1.{n}") for n in names]
    finally:
        subprocess.run(["rm", "-rf", out], check=False)


types, cluster_pb2, cluster_grpc, node_pb2, node_grpc = stubs()


def channel(pki, identity, address):
    def read(name):
        with open(os.path.join(pki, name), "rb") as file:
            return file.read()

    credentials = grpc.ssl_channel_credentials(
        read("ca.crt"), read(identity + ".key"), read(identity + ".crt"))
    return grpc.secure_channel(address, credentials, options=[
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1)])


def expect_code(code, call):
    try:
        answer = call()
    except grpc.RpcError as error:
        if error.code() == code and error.details():
            print(f"{error.code().name}: {error.details()}")
            return
        sys.exit(f"expected {code}, got {error.code()}: {error.details()!r}")
    sys.exit(f"expected {code}, got an answer: {answer}")


def expect(condition, what):
    if not condition:
        sys.exit(what)


def request_id():
    raw = os.urandom(16)
    return cluster_pb2.RequestId(high=int.from_bytes(raw[:8], "big"),
                                 low=int.from_bytes(raw[8:], "big"))


def schedule_request(app="stock"):
    return cluster_pb2.ScheduleRequest(
        request_id=request_id(),
        spec=types.PodSpec(
            app=app, restart=types.RESTART_NEVER,
            # More than any node has: it stays pending, nothing is run.
            resources=types.Resources(cpu_milli=900000, memory_bytes=1 << 20),
            containers=[types.ContainerSpec(image="127.0.0.1:1/none:1")]))


class Cases:
    def __init__(self, pki, cluster, node, argument):
        self.pki, self.cluster_address, self.node_address = pki, cluster, node
        self.argument = argument

    def cluster(self, identity="admin"):
        return cluster_grpc.ClusterStub(
            channel(self.pki, identity, self.cluster_address))

    def node(self, identity):
        return node_grpc.NodeStub(
            channel(self.pki, identity, self.node_address))

    def unary(self):
        stub = self.cluster()
        nodes = stub.ListNodes(cluster_pb2.ListNodesRequest(), timeout=10)
        expect(nodes.nodes and nodes.nodes[0].name == "n1", f"{nodes}")
        request = schedule_request()
        first = stub.Schedule(request, timeout=10)
        again = stub.Schedule(request, timeout=10)
        expect(first.pod.id == again.pod.id, "the same id ran twice")
        expect(first.pod.status.reason, "pending without a reason")
        expect_code(grpc.StatusCode.ALREADY_EXISTS,
                    lambda: stub.Schedule(schedule_request(), timeout=10))
        stub.Stop(cluster_pb2.StopRequest(request_id=request_id(),
                                          pod=first.pod.name), timeout=10)

    def stream(self):
        stub = self.cluster()
        start = stub.ListPods(cluster_pb2.ListPodsRequest(), timeout=10).index
        watch = stub.Watch(cluster_pb2.WatchRequest(after_index=start),
                           timeout=20)
        pod = stub.Schedule(schedule_request("streamed"), timeout=10).pod
        for event in watch:
            expect(event.index > start, f"{event} is older than {start}")
            if event.subject == pod.name:
                break
        watch.cancel()
        stub.Stop(cluster_pb2.StopRequest(request_id=request_id(),
                                          pod=pod.name), timeout=10)

    def deadline(self):
        stub = self.cluster()
        watch = stub.Watch(cluster_pb2.WatchRequest(from_now=True),
                           timeout=0.5)
        began = time.monotonic()
        expect_code(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: list(watch))
        took = time.monotonic() - began
        expect(0.3 < took < 5, f"the deadline of 0.5 s took {took:.1f} s")

    def oversize(self):
        request = schedule_request()
        request.spec.containers[0].env.append("A=" + "x" * (5 << 20))
        expect_code(grpc.StatusCode.RESOURCE_EXHAUSTED,
                    lambda: self.cluster().Schedule(request, timeout=10))

    def unknown_method(self):
        call = channel(self.pki, "admin", self.cluster_address).unary_unary(
            "/kontor.v1.Cluster/Nonsense")
        expect_code(grpc.StatusCode.UNIMPLEMENTED,
                    lambda: call(b"", timeout=10))

    def wrong_role(self):
        expect_code(grpc.StatusCode.PERMISSION_DENIED,
                    lambda: self.cluster("viewer").Schedule(
                        schedule_request(), timeout=10))
        expect_code(grpc.StatusCode.PERMISSION_DENIED,
                    lambda: self.node("admin").ListPods(
                        node_pb2.NodeListPodsRequest(), timeout=10))
        expect_code(grpc.StatusCode.PERMISSION_DENIED,
                    lambda: self.cluster("n1").ListPods(
                        cluster_pb2.ListPodsRequest(), timeout=10))
        # Reading is what a viewer may do.
        self.cluster("viewer").ListPods(cluster_pb2.ListPodsRequest(),
                                        timeout=10)

    def node_unary(self):
        # The certificate of a master may give orders; one of an old term is
        # refused.
        stub = self.node("m1")
        stub.ListPods(node_pb2.NodeListPodsRequest(term=1 << 40), timeout=10)
        expect_code(grpc.StatusCode.FAILED_PRECONDITION,
                    lambda: stub.CreatePods(node_pb2.CreatePodsRequest(
                        term=0), timeout=10))

    def node_stream(self):
        beats = []
        for report in self.node("m1").Watch(
                node_pb2.NodeWatchRequest(term=1 << 41), timeout=20):
            beats.append(report.sequence)
            if len(beats) == 3:
                break
        expect(beats == sorted(set(beats)), f"sequences {beats}")

    def expired(self):
        expect_code(grpc.StatusCode.UNAVAILABLE,
                    lambda: self.cluster(self.argument).ListPods(
                        cluster_pb2.ListPodsRequest(), timeout=5))

    def plain_text(self):
        for address in (self.cluster_address, self.node_address):
            plain = cluster_grpc.ClusterStub(grpc.insecure_channel(address))
            expect_code(grpc.StatusCode.UNAVAILABLE,
                        lambda: plain.ListPods(cluster_pb2.ListPodsRequest(),
                                               timeout=5))

    def garbage(self):
        # Whatever bytes come, the connection ends and the server lives.
        for address in (self.cluster_address, self.node_address):
            host, port = address.rsplit(":", 1)
            for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 4096,
                         b"\x16\x03\x01\xff\xff" + os.urandom(2000),
                         os.urandom(65536)):
                with socket.create_connection((host, int(port)), 5) as plain:
                    plain.settimeout(30)
                    try:
                        plain.sendall(junk)
                        plain.shutdown(socket.SHUT_WR)
                        while plain.recv(4096):
                            pass
                    except ConnectionError:
                        pass
            self.garbage_inside_tls(host, int(port))
        self.cluster().ListPods(cluster_pb2.ListPodsRequest(), timeout=10)

    def garbage_inside_tls(self, host, port):
        context = ssl.create_default_context(
            cafile=os.path.join(self.pki, "ca.crt"))
        context.load_cert_chain(os.path.join(self.pki, "admin.crt"),
                                os.path.join(self.pki, "admin.key"))
        context.set_alpn_protocols(["h2"])
        with socket.create_connection((host, port), 5) as plain:
            with context.wrap_socket(plain, server_hostname=host) as tls:
                tls.settimeout(30)
                try:
                    tls.sendall(os.urandom(4096))
                    while tls.recv(4096):
                        pass
                except (ConnectionError, ssl.SSLError):
                    pass


def main():
    case, pki, cluster, node = sys.argv[1:5]
    argument = sys.argv[5] if len(sys.argv) > 5 else None
    getattr(Cases(pki, cluster, node, argument), case)()


main()
