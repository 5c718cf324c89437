#!/usr/bin/python3
"""A stock gRPC client: Debian's python3-grpcio, stubs made from the project's
own .proto files. `stock_client.py CASE CONFIG NODE... [--as IDENTITY]` runs
one case against the masters of a config.json and the nodes at HOST:PORT; it
exits 0 when the answers were right and says what came instead when not.
Cases that kill a master are given `--pid NAME=PID` of each and an `--image`."""

import argparse
import importlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool

HERE = os.path.dirname(os.path.abspath(__file__))
PROTOS = os.path.join(HERE, "..", "..", "proto")
MODULES = ("kontor/v1/types", "kontor/v1/cluster", "kontor/v1/node",
           "grpc/health/v1/health", "grpc/reflection/v1/reflection",
           "grpc/reflection/v1alpha/reflection")


def stubs(folder):
    """Compile the .proto files and import what comes out. The folders of
    gRPC's own protocols go beneath the installed package `grpc`."""
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I", PROTOS,
         f"--python_out={folder}", f"--grpc_python_out={folder}"]
        + [name + ".proto" for name in MODULES], check=True)
    sys.path.insert(0, folder)
    grpc.__path__.append(os.path.join(folder, "grpc"))
    return {name + suffix: importlib.import_module(
                (name + suffix).replace("/", "."))
            for name in MODULES for suffix in ("_pb2", "_pb2_grpc")}


with tempfile.TemporaryDirectory(prefix="kontor-stubs-") as made:
    modules = stubs(made)
types = modules["kontor/v1/types_pb2"]
cluster_pb2 = modules["kontor/v1/cluster_pb2"]
cluster_grpc = modules["kontor/v1/cluster_pb2_grpc"]
node_pb2 = modules["kontor/v1/node_pb2"]
node_grpc = modules["kontor/v1/node_pb2_grpc"]
health_pb2 = modules["grpc/health/v1/health_pb2"]
health_grpc = modules["grpc/health/v1/health_pb2_grpc"]
Code = grpc.StatusCode


def expect(condition, what):
    if not condition:
        sys.exit(what)


def expect_code(code, call):
    """The call fails with `code` and says why; return what it said."""
    try:
        answer = call()
    except grpc.RpcError as error:
        expect(error.code() == code and error.details(),
               f"expected {code}, got {error.code()}: {error.details()!r}")
        print(f"{error.code().name}: {error.details()}")
        return error.details()
    sys.exit(f"expected {code}, got an answer: {answer}")


def request_id():
    raw = os.urandom(16)
    return cluster_pb2.RequestId(high=int.from_bytes(raw[:8], "big"),
                                 low=int.from_bytes(raw[8:], "big"))


def schedule_request(app):
    return cluster_pb2.ScheduleRequest(
        request_id=request_id(),
        spec=types.PodSpec(
            app=app, restart=types.RESTART_NEVER,
            # More than any node has: it stays pending, nothing is run.
            resources=types.Resources(cpu_milli=900000, memory_bytes=1 << 20),
            containers=[types.ContainerSpec(image="127.0.0.1:1/none:1")]))


def stop(stub, pod):
    stub.Stop(cluster_pb2.StopRequest(request_id=request_id(), pod=pod.name),
              timeout=10)


def send_junk(connection, junk):
    """Send it all and read until the other side has had enough."""
    connection.settimeout(20)
    try:
        connection.sendall(junk)
        while connection.recv(4096):
            pass
    except socket.timeout:
        sys.exit(f"{len(junk)} bytes of garbage keep a connection open")
    except OSError:
        pass


class Cases:
    def __init__(self, given):
        with open(given.config, encoding="utf-8") as file:
            settings = json.load(file)
        self.pki = os.path.join(os.path.dirname(given.config), settings["pki"])
        self.addresses = {row["name"]: row["address"]
                          for row in settings["masters"]}
        self.masters = list(self.addresses.values())
        self.nodes = given.nodes
        self.everyone = self.masters + given.nodes
        self.identity = given.identity
        self.image = given.image
        self.pids = {name: int(pid) for name, pid in
                     (word.split("=") for word in given.pid)}

    def file(self, name):
        with open(os.path.join(self.pki, name), "rb") as file:
            return file.read()

    def channel(self, address, identity="admin"):
        pair = (self.file(identity + ".key"), self.file(identity + ".crt")) \
            if identity else (None, None)
        return grpc.secure_channel(
            address, grpc.ssl_channel_credentials(self.file("ca.crt"), *pair),
            options=[("grpc.max_send_message_length", -1),
                     ("grpc.max_receive_message_length", -1),
                     ("grpc.use_local_subchannel_pool", 1)])

    def cluster(self, identity="admin", address=None):
        return cluster_grpc.ClusterStub(
            self.channel(address or self.masters[0], identity))

    def node(self, identity):
        return node_grpc.NodeStub(self.channel(self.nodes[0], identity))

    def everyone_answers(self, identity="admin"):
        """Whatever was done to them."""
        for address in self.everyone:
            answer = health_grpc.HealthStub(
                self.channel(address, identity)).Check(
                    health_pb2.HealthCheckRequest(), timeout=10)
            expect(answer.status == answer.SERVING, f"{address}: {answer}")

    # ---- one function a case ----

    def unary(self):
        # Any master will do: a follower passes the call on.
        for address in self.masters:
            stub = self.cluster(address=address)
            nodes = stub.ListNodes(cluster_pb2.ListNodesRequest(), timeout=10)
            expect(nodes.nodes[0].name == "n1", f"{nodes}")
            request = schedule_request("unary")
            first = stub.Schedule(request, timeout=10)
            again = stub.Schedule(request, timeout=10)
            expect(first.pod.id == again.pod.id, "the same id ran twice")
            expect("asks 900 cpu" in first.pod.status.reason, f"{first}")
            taken = schedule_request("unary")
            said = expect_code(Code.ALREADY_EXISTS,
                               lambda: stub.Schedule(taken, timeout=10))
            expect("unary" in said, said)
            stop(stub, first.pod)
        said = expect_code(
            Code.NOT_FOUND, lambda: stub.GetPod(
                cluster_pb2.GetPodRequest(pod="nobody"), timeout=10))
        expect("nobody" in said, said)

    def stream(self):
        stub = self.cluster()
        start = stub.ListPods(cluster_pb2.ListPodsRequest(), timeout=10).index
        watch = stub.Watch(cluster_pb2.WatchRequest(after_index=start),
                           timeout=20)
        pod = stub.Schedule(schedule_request("streamed"), timeout=10).pod
        stop(stub, pod)
        kinds = []
        for event in watch:
            expect(event.index > start, f"{event} is older than {start}")
            kinds += [event.kind] if event.subject == pod.name else []
            if event.kind == types.EVENT_POD_ENDED:
                break
        watch.cancel()
        expect(kinds[0] == types.EVENT_POD_CREATED, f"{kinds}")

    def deadline(self):
        for address in self.masters:
            watch = self.cluster(address=address).Watch(
                cluster_pb2.WatchRequest(from_now=True), timeout=0.5)
            began = time.monotonic()
            expect_code(Code.DEADLINE_EXCEEDED, lambda w=watch: list(w))
            took = time.monotonic() - began
            expect(0.3 < took < 5, f"the deadline of 0.5 s took {took:.1f} s")

    def oversize(self):
        request = schedule_request("oversize")
        request.spec.containers[0].env.append("A=" + "x" * (5 << 20))
        expect_code(Code.RESOURCE_EXHAUSTED,
                    lambda: self.cluster().Schedule(request, timeout=10))
        order = node_pb2.CreatePodsRequest(pods=[
            node_pb2.PodOrder(name="x" * (5 << 20))])
        expect_code(Code.RESOURCE_EXHAUSTED,
                    lambda: self.node("m1").CreatePods(order, timeout=10))
        self.everyone_answers()

    def unknown_method(self):
        for address in self.everyone:
            for path in ("/kontor.v1.Cluster/Nonsense", "/no.Service/Method"):
                call = self.channel(address, "m1").unary_unary(path)
                said = expect_code(Code.UNIMPLEMENTED,
                                   lambda c=call: c(b"", timeout=10))
                expect(path in said, said)

    def wrong_role(self):
        listing = node_pb2.NodeListPodsRequest()
        pods = cluster_pb2.ListPodsRequest()
        said = expect_code(
            Code.PERMISSION_DENIED, lambda: self.cluster("viewer").Schedule(
                schedule_request("viewer"), timeout=10))
        expect("viewer" in said and "Schedule" in said, said)
        for role in ("admin", "viewer", "n1"):
            expect_code(Code.PERMISSION_DENIED,
                        lambda r=role: self.node(r).ListPods(listing,
                                                             timeout=10))
        expect_code(Code.PERMISSION_DENIED,
                    lambda: self.cluster("n1").ListPods(pods, timeout=10))
        register = cluster_pb2.RegisterNodeRequest(
            request_id=request_id(), name="n1", address="10.77.0.99:7500",
            capacity=types.Resources(cpu_milli=1000, memory_bytes=1 << 30))
        expect_code(Code.PERMISSION_DENIED,
                    lambda: self.cluster("admin").RegisterNode(register,
                                                               timeout=10))
        register.name = "n9"
        said = expect_code(
            Code.PERMISSION_DENIED,
            lambda: self.cluster("n1").RegisterNode(register, timeout=10))
        expect("n9" in said, said)
        # Nobody but a master speaks for others.
        said = expect_code(
            Code.PERMISSION_DENIED, lambda: self.cluster("viewer").Schedule(
                schedule_request("viewer"), timeout=10,
                metadata=(("kontor-on-behalf-of", "admin/admin"),)))
        # Reading is what a viewer may do.
        self.cluster("viewer").ListPods(pods, timeout=10)

    def node_unary(self):
        # The certificate of a master may give orders; one of an old term is
        # refused.
        stub = self.node("m1")
        stub.ListPods(node_pb2.NodeListPodsRequest(term=1 << 40), timeout=10)
        said = expect_code(Code.FAILED_PRECONDITION, lambda: stub.CreatePods(
            node_pb2.CreatePodsRequest(term=1), timeout=10))
        expect("term" in said, said)

    def node_stream(self):
        beats = []
        for report in self.node("m1").Watch(
                node_pb2.NodeWatchRequest(term=1 << 41), timeout=20):
            beats.append(report.sequence)
            if len(beats) == 3:
                break
        expect(beats == [1, 2, 3], f"sequences {beats}")

    def accepted(self):
        self.everyone_answers(self.identity)

    def refused(self):
        """The certificate of --as gets nowhere; "none": without one."""
        who = None if self.identity == "none" else self.identity
        for address in self.everyone:
            stub = health_grpc.HealthStub(self.channel(address, who))
            expect_code(Code.UNAVAILABLE, lambda s=stub: s.Check(
                health_pb2.HealthCheckRequest(), timeout=10))

    def plain_text(self):
        for address in self.everyone:
            stub = health_grpc.HealthStub(grpc.insecure_channel(address))
            expect_code(Code.UNAVAILABLE, lambda s=stub: s.Check(
                health_pb2.HealthCheckRequest(), timeout=10))
        self.everyone_answers()

    def garbage(self):
        # Whatever bytes come, the connection ends and the server lives.
        for address in self.everyone:
            host, port = address.rsplit(":", 1)
            for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 4096,
                         b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                         b"\x16\x03\x01\xff\xff" + os.urandom(2000),
                         os.urandom(65536)):
                with socket.create_connection((host, int(port)), 5) as plain:
                    send_junk(plain, junk)
            self.garbage_inside_tls(host, int(port))
        self.everyone_answers()

    def garbage_inside_tls(self, host, port):
        context = ssl.create_default_context(
            cafile=os.path.join(self.pki, "ca.crt"))
        context.load_cert_chain(os.path.join(self.pki, "admin.crt"),
                                os.path.join(self.pki, "admin.key"))
        context.set_alpn_protocols(["h2"])
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        for junk in (os.urandom(4096), preface + os.urandom(4096),
                     b"GET / HTTP/1.1\r\n\r\n"):
            with socket.create_connection((host, port), 5) as plain:
                with context.wrap_socket(plain, server_hostname=host) as tls:
                    expect(tls.version() == "TLSv1.3", f"{tls.version()}")
                    send_junk(tls, junk)

    def old_tls(self):
        """TLS 1.2, or no ALPN, is refused."""
        for address in self.everyone:
            for old in (True, False):
                context = ssl.create_default_context(
                    cafile=os.path.join(self.pki, "ca.crt"))
                context.load_cert_chain(os.path.join(self.pki, "admin.crt"),
                                        os.path.join(self.pki, "admin.key"))
                if old:
                    context.maximum_version = ssl.TLSVersion.TLSv1_2
                    context.set_alpn_protocols(["h2"])
                self.no_handshake(context, address)

    @staticmethod
    def no_handshake(context, address):
        host, port = address.rsplit(":", 1)
        try:
            with socket.create_connection((host, int(port)), 5) as plain:
                with context.wrap_socket(plain, server_hostname=host) as tls:
                    tls.settimeout(20)
                    # A server's SETTINGS come first where it agreed.
                    got = tls.recv(16)
        except OSError:
            return
        expect(not got, f"{address} agreed to speak {got}")

    # ---- the leader dies, and its clients ask again with the same id ----

    def leader_and_others(self):
        """Their names, once all agree on one."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            leaders = set()
            for address in self.masters:
                answer = self.cluster(address=address).Masters(
                    cluster_pb2.MastersRequest(), timeout=5)
                leaders |= {row.name for row in answer.masters
                            if row.role == "leader"}
            if len(leaders) == 1:
                leader = leaders.pop()
                return leader, [n for n in self.addresses if n != leader]
        sys.exit("no leader for 10 s")

    def unnamed_request(self):
        """Each such request that is done makes one more pod of the image."""
        return cluster_pb2.ScheduleRequest(
            request_id=request_id(),
            spec=types.PodSpec(
                resources=types.Resources(cpu_milli=10, memory_bytes=16 << 20),
                containers=[types.ContainerSpec(image=self.image)]))

    def insist(self, stub, request):
        """While a leader is missing a master says UNAVAILABLE: ask again."""
        end = time.monotonic() + 10
        while True:
            try:
                return stub.Schedule(request, timeout=10)
            except grpc.RpcError as error:
                expect(error.code() == Code.UNAVAILABLE and
                       time.monotonic() < end, f"{error}")

    def asked_again(self, survivors, request, first=None):
        """Every survivor gives the same answer, the first one."""
        for name in survivors:
            stub = self.cluster(address=self.addresses[name])
            answer = self.insist(stub, request)
            first = first or answer
            expect((answer.pod.id, answer.pod.name, answer.index) ==
                   (first.pod.id, first.pod.name, first.index),
                   f"first {first}, by {name} then {answer}")
        return first

    def pods_are(self, survivors, ids):
        """Nothing but these pods is of the image."""
        stub = self.cluster(address=self.addresses[survivors[0]])
        pods = stub.ListPods(cluster_pb2.ListPodsRequest(page_size=1000),
                             timeout=10).pods
        made = sorted(pod.id for pod in pods
                      if pod.spec.containers[0].image == self.image)
        expect(made == sorted(ids), f"asked for {sorted(ids)}, there are {made}")

    def retry_of_an_answer(self):
        """It was acknowledged; then the leader dies."""
        leader, survivors = self.leader_and_others()
        request = self.unnamed_request()
        stub = self.cluster(address=self.addresses[leader])
        first = stub.Schedule(request, timeout=10)
        os.kill(self.pids[leader], signal.SIGKILL)
        self.asked_again(survivors, request, first)
        self.pods_are(survivors, [first.pod.id])

    def retry_of_a_call_under_way(self):
        """The leader has it and waits for a quorum, which stands still."""
        leader, survivors = self.leader_and_others()
        request = self.unnamed_request()
        stub = self.cluster(address=self.addresses[leader])
        stub.Masters(cluster_pb2.MastersRequest(), timeout=5)  # connected
        for name in survivors:
            os.kill(self.pids[name], signal.SIGSTOP)
        try:
            call = stub.Schedule.future(request, timeout=10)
            try:
                call.result(timeout=0.1)
                sys.exit("acknowledged with one master's disk alone")
            except grpc.FutureTimeoutError:
                pass
            os.kill(self.pids[leader], signal.SIGKILL)
        finally:
            for name in survivors:
                os.kill(self.pids[name], signal.SIGCONT)
        expect(call.exception().code() == Code.UNAVAILABLE, f"{call}")
        first = self.asked_again(survivors, request)
        self.asked_again(survivors, request, first)
        self.pods_are(survivors, [first.pod.id])

    def retry_of_many(self):
        """The leader dies among calls in every stage. Those that it had
        itself fail and are sent again; those that a follower passed on are
        sent again by it."""
        leader, survivors = self.leader_and_others()
        requests = [self.unnamed_request() for _ in range(300)]
        direct, passed_on = (self.cluster(address=self.addresses[name])
                             for name in (leader, survivors[0]))
        for stub in (direct, passed_on):
            stub.ListPods(cluster_pb2.ListPodsRequest(), timeout=10)
        calls = []
        for i, request in enumerate(requests):
            if i == 200:
                os.kill(self.pids[leader], signal.SIGKILL)
            stub = (direct, passed_on)[i % 2]
            calls.append(stub.Schedule.future(request, timeout=20))
        failed = 0
        ids = []
        for i, (request, call) in enumerate(zip(requests, calls)):
            error = call.exception()
            if error:
                expect(i % 2 == 0 and error.code() == Code.UNAVAILABLE,
                       f"call {i}: {error}")
                failed += 1
            first = self.asked_again(survivors, request,
                                     None if error else call.result())
            ids.append(first.pod.id)
        expect(0 < failed < len(requests), f"{failed} calls were cut off")
        print(f"{failed} of {len(calls)} calls were cut off")
        self.pods_are(survivors, ids)

    def health(self):
        self.everyone_answers()
        stub = health_grpc.HealthStub(self.channel(self.masters[0]))
        ask = health_pb2.HealthCheckRequest
        answer = stub.Check(ask(service="kontor.v1.Cluster"), timeout=10)
        expect(answer.status == answer.SERVING, f"{answer}")
        said = expect_code(Code.NOT_FOUND, lambda: stub.Check(
            ask(service="kontor.v1.Nonsense"), timeout=10))
        expect("kontor.v1.Nonsense" in said, said)
        watch = stub.Watch(ask(), timeout=10)
        expect(next(watch).status == answer.SERVING, "Watch")
        watch.cancel()

    def reflection(self):
        for version in ("v1", "v1alpha"):
            for address, service, method in (
                    (self.masters[0], "kontor.v1.Cluster", "Schedule"),
                    (self.nodes[0], "kontor.v1.Node", "CreatePods")):
                self.reflect(version, address, service, method)

    def reflect(self, version, address, service, method):
        """Learn a service from its server alone, as grpcurl does."""
        name = f"grpc/reflection/{version}/reflection_pb2"
        ask = modules[name].ServerReflectionRequest
        stub = modules[name + "_grpc"].ServerReflectionStub(
            self.channel(address))
        listed, found, missing = stub.ServerReflectionInfo(iter([
            ask(list_services=""), ask(file_containing_symbol=service),
            ask(file_containing_symbol="no.Such")]), timeout=10)
        names = [row.name for row in listed.list_services_response.service]
        expect(service in names and "grpc.health.v1.Health" in names,
               f"{names}")
        expect(missing.error_response.error_code == Code.NOT_FOUND.value[0],
               f"{missing}")
        pool = descriptor_pool.DescriptorPool()
        self.add_files(stub, ask, pool,
                       found.file_descriptor_response.file_descriptor_proto)
        methods = pool.FindServiceByName(service).methods_by_name
        expect(method in methods, f"{list(methods)}")

    def add_files(self, stub, ask, pool, files):
        """Each after those that it imports."""
        for raw in files:
            file = descriptor_pb2.FileDescriptorProto.FromString(raw)
            for name in file.dependency:
                answer, = stub.ServerReflectionInfo(
                    iter([ask(file_by_filename=name)]), timeout=10)
                self.add_files(
                    stub, ask, pool,
                    answer.file_descriptor_response.file_descriptor_proto)
            pool.Add(file)


def main():
    words = argparse.ArgumentParser()
    words.add_argument("case")
    words.add_argument("config")
    words.add_argument("nodes", nargs="+")
    words.add_argument("--as", dest="identity")
    words.add_argument("--pid", action="append", default=[])
    words.add_argument("--image", default="127.0.0.1:1/none:1")
    given = words.parse_args()
    getattr(Cases(given), given.case)()


main()
