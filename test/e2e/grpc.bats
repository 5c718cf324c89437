# grpc.bats - masters and nodes as gRPC servers, asked by Debian's
# python3-grpcio with stubs made from proto/. What a case expects stands in
# stock_client.py.

load lib.bash

setup_file() {
    work_make
    REGISTRY_PORT=0
    cluster_up --nodes 1
    certificates_make "$WORK/cluster/pki"
}

teardown_file() {
    cluster_down
    work_remove
}

# In the cluster's folder of certificates DIR: good.*, expired.*, early.*,
# signed by its CA, and stranger.*, signed by another one that has its name.
# All say that they are admins.
certificates_make() {
    (
        cd "$1"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
            -subj "/O=kontor/OU=ca/CN=kontor ca" -days 2 \
            -keyout other.key -out other.crt
        certificate admin good ca 20200101000000Z 20910101000000Z
        certificate admin expired ca 20200101000000Z 20200102000000Z
        certificate admin early ca 20900101000000Z 20910101000000Z
        certificate admin stranger other 20200101000000Z 20910101000000Z
    ) 2>"$WORK/openssl.log"
}

stock() { # CASE [--as IDENTITY]
    /usr/bin/python3 "$BATS_TEST_DIRNAME/stock_client.py" "$1" \
        "$KONTOR_CONFIG" 10.77.0.11:7500 "${@:2}"
}

@test "unary calls to any master; an id sent twice is done once" {
    stock unary
}

@test "a stream of events" {
    stock stream
}

@test "a deadline" {
    stock deadline
}

@test "a message over 4 MiB" {
    stock oversize
}

@test "an unknown method and an unknown service" {
    stock unknown_method
}

@test "a role that may not" {
    stock wrong_role
}

@test "a node answers masters, and not those of an older term" {
    stock node_unary
}

@test "a node's stream of reports" {
    stock node_stream
}

@test "an expired certificate, and one that is not" {
    stock accepted --as good
    stock refused --as expired
}

@test "a certificate that is not valid yet" {
    stock refused --as early
}

@test "a certificate of another CA" {
    stock refused --as stranger
}

@test "no certificate" {
    stock refused --as none
}

@test "TLS 1.2, and TLS without ALPN" {
    stock old_tls
}

@test "plain text on every port" {
    stock plain_text
}

@test "garbage on every port, outside and inside TLS" {
    stock garbage
}

@test "health" {
    stock health
}

@test "reflection, v1 and v1alpha" {
    stock reflection
}

# Last: all of the above went over this cluster, whose processes nobody
# starts again.
@test "nothing of it ended a process or left a pod" {
    stock accepted --as admin
    [ "$(kctl get pods -o json | grep -c '"name"')" = 0 ]
    [ "$(kctl masters | grep -c down)" = 0 ]
}
