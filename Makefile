# Kontor's one makefile. `make help` lists what it can do.
#
#   V=1     show whole commands
#   SAN=1   with ASan and UBSan, in build/san
#   B=DIR   where things are built (default build/release)

MAKEFLAGS += --no-builtin-rules --warn-undefined-variables
.DELETE_ON_ERROR:
, := ,
SHELL := bash

V ?=
SAN ?=
FUZZ ?=
B ?= $(if $(SAN),build/san,$(if $(FUZZ),build/fuzz,build/release))
PREFIX ?= /usr/local
DESTDIR ?=
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' $1 $2)

VERSION := 0.1.0
CC := gcc
CLANG := clang
AR := ar

# ---- flags ------------------------------------------------------------------

PACKAGES_RPC := libuv libnghttp2 openssl libprotobuf-c
PACKAGES := $(PACKAGES_RPC) sqlite3 libcurl libarchive libzstd libisal jansson \
	libseccomp libnl-route-3.0 libnftables libcap yaml-0.1

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wcast-qual \
	-Wstrict-prototypes -Wmissing-prototypes -Wundef -Wvla -Wformat=2 \
	-Wswitch-enum -Wimplicit-fallthrough -Wnull-dereference -Wwrite-strings
WERROR ?= -Werror
DEFINES := -D_GNU_SOURCE -DKONTOR_VERSION='"$(VERSION)"'
CPPFLAGS = -I. -I$(G) -isystem $(GENERATED) $(DEFINES) \
	$(filter-out -pthread,$(PACKAGE_CFLAGS))
HARDENING := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong \
	-fstack-clash-protection -fcf-protection -fPIE
OPTIMIZE := -O2 -g $(HARDENING)
LDFLAGS := -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed \
	-Wl,--gc-sections
ifneq ($(FUZZ),)
OPTIMIZE := -O1 -g -fno-omit-frame-pointer -fPIE \
	-fsanitize=fuzzer-no-link,address,undefined -D__SANITIZE_ADDRESS__
LDFLAGS := -pie
WERROR :=
endif
ifneq ($(SAN),)
OPTIMIZE := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=undefined -fPIE
LDFLAGS := -pie -fsanitize=address,undefined
endif
CFLAGS = -std=c17 -pthread -ffunction-sections $(OPTIMIZE)

# pkg-config is asked only when something is built, after `make deps` ran.
PACKAGE_CFLAGS = $(eval PACKAGE_CFLAGS := $(patsubst -I%,-isystem %,$(shell \
	pkg-config --cflags $(PACKAGES))))$(PACKAGE_CFLAGS)
LIBS_RPC := -luv -lnghttp2 -lssl -lcrypto -lprotobuf-c
LIBS := $(LIBS_RPC) -lsqlite3 -lcurl -larchive -lzstd -lisal -ljansson \
	-lseccomp -lnl-route-3 -lnl-3 -lnftables -lcap \
	-lyaml -pthread

# kctl is started for every command, and each shared library costs that a tenth
# of a millisecond, libcrypto six. So it has all of them in it but libc, which
# finds names: it is built anew when OpenSSL is mended.
LIBS_KCTL := $(foreach l,ssl crypto uv_a nghttp2 protobuf-c jansson yaml \
	nl-route-3 nl-3,-l:lib$l.a) -pthread

# kpull is started for every pull and forks twice a layer. libcurl comes with
# libcrypto and thirty others; libarchive would bring sixteen for formats that
# are never read (XML and Unicode among them), which is a third of the start.
LIBS_KPULL := $(foreach l,archive zstd jansson protobuf-c seccomp cap,\
	-l:lib$l.a) -lcurl -lcrypto -lisal -pthread

# With glibc's allocator a leader that answers thousands of calls a second takes
# up to a third longer; so do thousands of nodes in one process, whose master is
# gone. The sanitizers bring their own.
ifeq ($(SAN)$(FUZZ),)
LIBS_MALLOC := -Wl,--no-as-needed -ljemalloc -Wl,--as-needed
endif

# ---- sources ----------------------------------------------------------------

PROTOS := $(wildcard proto/kontor/v1/*.proto proto/grpc/*/*/*.proto)
G := $(B)/gen
GENERATED := $(G)/proto
PB_C := $(PROTOS:proto/%.proto=$(GENERATED)/%.pb-c.c)
PB_H := $(PB_C:.c=.h)

sources = $(wildcard $(addsuffix /*.c,$1))
objects = $(patsubst %.c,$(B)/%.o,$(filter-out %/main.c,$(call sources,$1)))

LAYERS := base proto rpc raft master node client
DIRS_base := base
DIRS_rpc := rpc
DIRS_raft := raft raft/core
DIRS_master := master master/placement
DIRS_node := node node/image node/pod node/cgroup node/net node/disk node/supervisor
DIRS_client := client
OBJECTS_proto := $(PB_C:.c=.o) $(GENERATED)/descriptors.o
$(foreach l,base rpc raft master node client,\
	$(eval OBJECTS_$l := $(call objects,$(DIRS_$l))))
$(foreach l,$(LAYERS),$(eval LIB_$l := $(B)/lib/lib$l.a))

LIBS_BELOW_master := $(LIB_master) $(LIB_raft) $(LIB_rpc) $(LIB_proto) $(LIB_base)
LIBS_BELOW_node := $(LIB_node) $(LIB_rpc) $(LIB_proto) $(LIB_base)
LIBS_BELOW_client := $(LIB_client) $(LIB_rpc) $(LIB_proto) $(LIB_base)
LIBS_ALL := $(LIB_client) $(LIB_master) $(LIB_node) $(LIB_raft) $(LIB_rpc) \
	$(LIB_proto) $(LIB_base)

PROGRAMS := kmaster knode kpod kpull kctl
BINARIES := $(PROGRAMS:%=$(B)/bin/%)

.PHONY: all
all: $(BINARIES) ## build kmaster, knode, kpod, kpull and kctl

.PHONY: help
help: ## what you read
	@awk -F'## ' '/^[a-z0-9-]+:.*## /{split($$1,t,":"); printf "  make %-10s %s\n",t[1],$$2}' $(firstword $(MAKEFILE_LIST))

# What things are built with and from. Each file changes only when its text
# does, and what depends on it is then made again: after new flags, and after
# a source was removed, whose object must leave its library.
.PHONY: FORCE
keep = @mkdir -p $(@D); printf '%s\n' $1 | cmp -s - $@ || printf '%s\n' $1 >$@

$(B)/flags: FORCE
	$(call keep,'$(CC) $(subst ','\'',$(CPPFLAGS) $(CFLAGS) $(WARNINGS) $(LDFLAGS) $(LIBS) $(LIBS_MALLOC) $(LIBS_KCTL) $(LIBS_KPULL))')

# ---- generated --------------------------------------------------------------

$(GENERATED)/%.pb-c.c $(GENERATED)/%.pb-c.h &: proto/%.proto
	$(call say,PROTO,$<)
	$(Q)mkdir -p $(GENERATED)
	$(Q)protoc-c -Iproto --c_out=$(GENERATED) $<

# Every .proto as one FileDescriptorSet, for server reflection.
$(G)/descriptors.bin: $(PROTOS)
	$(call say,PROTO,$@)
	$(Q)mkdir -p $(G)
	$(Q)protoc -Iproto --include_imports --descriptor_set_out=$@ $(PROTOS)

$(GENERATED)/descriptors.o: proto/descriptors.S $(G)/descriptors.bin
	$(call say,AS,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -c -DDESCRIPTORS='"$(G)/descriptors.bin"' -o $@ $<

.SECONDARY: $(PB_C) $(PB_H)

$(GENERATED)/%.o: $(GENERATED)/%.c $(B)/flags
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MD -MP -c -o $@ $<

# ---- objects, libraries, programs -------------------------------------------

# The pb-c headers must be there before the first object is compiled; the .d
# files know afterwards which object needs which.
$(B)/%.o: %.c $(B)/flags | $(PB_H)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(WARNINGS) $(WERROR) -MD -MP -c -o $@ $<

define library
$(B)/lib/$1.list: FORCE
	$$(call keep,$$(OBJECTS_$1))

$(LIB_$1): $(OBJECTS_$1) $(B)/lib/$1.list
	$$(call say,AR,$$@)
	$$(Q)rm -f $$@
	$$(Q)$(AR) qcs $$@ $$(OBJECTS_$1)
endef
$(foreach l,$(LAYERS),$(eval $(call library,$l)))

link = $(Q)mkdir -p $(@D); $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $1

$(B)/bin/kmaster: $(B)/master/main.o $(LIBS_BELOW_master)
	$(call say,LINK,$@)
	$(call link,$^ $(LIBS_MALLOC) $(LIBS))

$(B)/bin/knode: $(B)/node/main.o $(LIBS_BELOW_node)
	$(call say,LINK,$@)
	$(call link,$^ $(LIBS))

$(B)/bin/kpull: $(B)/node/image/main.o $(LIB_node) $(LIB_proto) $(LIB_base)
	$(call say,LINK,$@)
	$(call link,$^ $(LIBS_KPULL))

$(B)/bin/kctl: $(B)/client/main.o $(LIBS_BELOW_client)
	$(call say,LINK,$@)
	$(call link,$^ $(LIBS_KCTL))

# kpod is static: one small process a pod, independent of the node's files.
# (The sanitizers' runtimes cannot be linked statically.)
$(B)/bin/kpod: $(B)/node/supervisor/main.o $(LIB_node) $(LIB_proto) $(LIB_base)
	$(call say,LINK,$@)
ifneq ($(SAN),)
	$(call link,$^ -lprotobuf-c)
else
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -static-pie $(filter-out -pie,$(LDFLAGS)) -o $@ $^ \
		-l:libprotobuf-c.a
endif

# ---- tests ------------------------------------------------------------------

UNIT_TESTS := $(patsubst test/unit/%.c,$(B)/test/unit/%,\
	$(wildcard test/unit/test_*.c))
UNIT_HELPERS := $(patsubst %.c,$(B)/%.o,\
	$(filter-out test/unit/test_%,$(wildcard test/unit/*.c)))

$(UNIT_TESTS): $(B)/test/unit/%: $(B)/test/unit/%.o $(UNIT_HELPERS) $(LIBS_ALL)
	$(call say,LINK,$@)
	$(call link,$^ -lcmocka $(LIBS))

# What runs inside a container, whose image has no libraries.
PROBE := $(B)/test/unit/probe/probe
$(PROBE): test/unit/probe/probe.c $(B)/flags
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=c17 -O2 $(DEFINES) $(WARNINGS) $(WERROR) -static -o $@ $<

$(B)/test/unit/test_escape $(B)/test/unit/test_supervisor_many: | $(PROBE)

SIM_OBJECTS := $(patsubst %.c,$(B)/%.o,$(wildcard test/sim/*.c) \
	test/unit/raft_members.c)
SIM_LIBS := $(LIB_master) $(LIB_raft) $(LIB_proto) $(LIB_base)
$(B)/test/sim/sim: $(SIM_OBJECTS) $(SIM_LIBS)
	$(call say,LINK,$@)
	$(call link,$^ $(LIBS))

LINEAR_OBJECTS := $(call objects,test/linear)
$(B)/test/linear/check: $(B)/test/linear/main.o $(LINEAR_OBJECTS) $(LIB_base)
	$(call say,LINK,$@)
	$(call link,$^ -ljansson)

$(B)/test/unit/test_linear: $(LINEAR_OBJECTS)

$(B)/test/upgrade/writer: $(B)/test/upgrade/writer.o $(LIBS_BELOW_client)
	$(call say,LINK,$@)
	$(call link,$^ $(LIBS))

# Files on a disk that fails, in memory: the calls that would reach real ones
# go to the model, too (test/sim/disk/posix.c).
wrap = $(1:%=-Wl$(,)--wrap=%)
DISK_WRAPS := open close read pread write pwrite lseek ftruncate fstat stat \
	access fsync fcntl rename unlink unlinkat mkdir opendir readdir closedir dirfd
DISK_OBJECTS := $(patsubst %.c,$(B)/%.o,$(wildcard test/sim/disk/*.c) \
	test/sim/story.c test/sim/seeds.c test/unit/raft_members.c)
DISK_LIBS = $(LIB_raft) $(LIB_proto) $(LIB_base) $(call wrap,$(DISK_WRAPS)) $(LIBS)
$(B)/test/sim/disk/disk: $(DISK_OBJECTS) $(LIB_raft) $(LIB_proto) $(LIB_base)
	$(call say,LINK,$@)
	$(call link,$(DISK_OBJECTS) $(DISK_LIBS))

# Whole masters in a world of our own: its libuv, network, store, disks and
# clocks take the place of the real ones (test/sim/stack).
STACK_OBJECTS := $(patsubst %,$(B)/test/sim/%.o,story seeds speed disk/disk \
	disk/content disk/crash disk/posix disk/vfs disk/expected) \
	$(patsubst %.c,$(B)/%.o,$(wildcard test/sim/stack/*.c))
STACK_WRAPS := $(DISK_WRAPS) random_bytes snapshot_save_start \
	snapshot_save_cancel cluster_apply cluster_apply_command cluster_load
STACK_LIBS = $(LIBS_BELOW_master) $(call wrap,$(STACK_WRAPS)) \
	-Wl$(,)--gc-sections $(filter-out -luv -lnghttp2,$(LIBS))
$(B)/test/sim/stack/stack: $(STACK_OBJECTS) $(LIBS_BELOW_master)
	$(call say,LINK,$@)
	$(call link,$(STACK_OBJECTS) $(STACK_LIBS))

# The fuzzers without the engine: what their corpora have is looked at again.
REPLAYS := $(patsubst test/fuzz/%.c,$(B)/test/fuzz/%,\
	$(wildcard test/fuzz/fuzz_*.c))
$(REPLAYS): $(B)/test/fuzz/%: $(B)/test/fuzz/%.o $(B)/test/fuzz/replay.o \
		$(UNIT_HELPERS) $(LIBS_ALL)
	$(call say,LINK,$@)
	$(call link,$^ -lcmocka $(LIBS))

.PHONY: test unit corpora sim e2e
test: deps ## everything: unit tests, corpora, simulator, end to end
	$(Q)$(MAKE) --no-print-directory all tests benches
	$(Q)B=$(B) test/run unit corpora sim e2e

.PHONY: tests
SIMULATORS := $(B)/test/sim/sim $(B)/test/sim/disk/disk $(B)/test/sim/stack/stack
tests: $(UNIT_TESTS) $(REPLAYS) $(SIMULATORS) $(B)/test/linear/check $(B)/test/upgrade/writer

unit: all $(UNIT_TESTS) ## the unit tests alone
	$(Q)B=$(B) test/run unit

corpora: $(REPLAYS) ## what is known to be worth fuzzing, replayed
	$(Q)B=$(B) test/run corpora

# SEEDS, DISK_SEEDS and STACK_SEEDS say how many (test/run)
sim: $(SIMULATORS) ## the simulators alone
	$(Q)B=$(B) test/run sim

# Known mistakes, linked before what was built (test/mutants.sh).
MUTANTS ?=
COMPILE_MUTANT = $(CC) $(subst ',,$(CPPFLAGS)) $(CFLAGS) -Wl,--gc-sections
.PHONY: mutants mutants-escapes
mutants: $(SIMULATORS) ## known mistakes, put in one by one, are noticed
	$(Q)B=$(B) OBJECTS_sim='$(SIM_OBJECTS)' LIBS_sim='$(SIM_LIBS) $(LIBS)' \
		OBJECTS_disk='$(DISK_OBJECTS)' LIBS_disk='$(DISK_LIBS)' \
		OBJECTS_stack='$(STACK_OBJECTS)' LIBS_stack='$(STACK_LIBS)' \
		COMPILE='$(COMPILE_MUTANT)' test/sim/mutants/run $(MUTANTS)

mutants-escapes: all $(UNIT_TESTS) ## each class of escape is noticed without its defence
	$(Q)B=$(B) OBJECTS_unit='$(UNIT_HELPERS) $(LIBS_ALL)' \
		LIBS_unit='-lcmocka $(LIBS)' \
		OBJECTS_kpod='$(B)/node/supervisor/main.o $(LIB_node) $(LIB_proto) $(LIB_base)' \
		LIBS_kpod='-l:libprotobuf-c.a' \
		COMPILE='$(COMPILE_MUTANT)' test/unit/mutants/run $(MUTANTS)

HOURS ?= 1
.PHONY: soak
soak: $(SIMULATORS) ## the simulators for HOURS=1, with seeds of their own
	$(Q)B=$(B) test/sim/soak $(HOURS)

e2e: all $(B)/test/linear/check $(B)/test/upgrade/writer ## the end-to-end tests alone
	$(Q)B=$(B) test/run e2e

# Not of `make test`: it needs the history, and builds another one.
FROM ?= HEAD
.PHONY: test-upgrade
test-upgrade: all $(B)/test/linear/check $(B)/test/upgrade/writer ## masters and nodes of FROM=REF are replaced by these, one by one
	$(Q)B=$(B) test/upgrade/run $(FROM)

# The sanitizers' build of everything; SEEDS are fewer: it is ten times slower.
.PHONY: check-san
check-san: deps ## unit tests, corpora and simulator under ASan and UBSan
	$(Q)$(MAKE) --no-print-directory SAN=1 B=build/san all tests
	$(Q)B=build/san SEEDS=1-200 DISK_SEEDS=1-20 STACK_SEEDS=1-60 \
		test/run unit corpora sim

BENCHES := $(patsubst test/bench/%.c,$(B)/test/bench/%,\
	$(wildcard test/bench/bench_*.c))
BENCH_HELPERS := $(patsubst %.c,$(B)/%.o,\
	$(filter-out test/bench/bench_%,$(wildcard test/bench/*.c)))

$(BENCHES): $(B)/test/bench/%: $(B)/test/bench/%.o $(BENCH_HELPERS) \
		$(UNIT_HELPERS) $(LIBS_ALL)
	$(call say,LINK,$@)
	$(call link,$^ -lcmocka $(LIBS_MALLOC) $(LIBS))

.PHONY: benches
benches: $(BENCHES) $(B)/test/linear/check

.PHONY: bench bench-raft bench-node bench-placement bench-scale
bench-node: deps ## the node's figures, beside containerd and crun
	$(Q)$(MAKE) --no-print-directory all $(B)/test/bench/bench_engine \
		$(B)/test/bench/bench_start
	$(Q)B=$(B) test/bench/node

bench-raft: deps ## how fast the masters agree and are back, beside etcd
	$(Q)$(MAKE) --no-print-directory all benches
	$(Q)B=$(B) test/bench/raft

TRACES ?=
bench-placement: deps ## the placement engine; TRACES=DIR: on real traces
	$(Q)$(MAKE) --no-print-directory $(B)/test/bench/bench_placement \
		$(B)/test/bench/bench_plans $(B)/test/bench/bench_memory
	$(Q)$(B)/test/bench/bench_placement $(TRACES)
	$(Q)$(B)/test/bench/bench_plans
	$(Q)$(B)/test/bench/bench_memory

bench-scale: deps ## what the masters bear: NODES=5000 hollow nodes, PODS=1000000
	$(Q)$(MAKE) --no-print-directory all benches
	$(Q)B=$(B) test/bench/scale

bench: deps ## the figures of the README, beside etcd, crun and containerd
	$(Q)$(MAKE) --no-print-directory all benches
	$(Q)B=$(B) test/bench/run

# ---- fuzzing ----------------------------------------------------------------

FUZZERS := $(patsubst test/fuzz/%.c,build/fuzz/%,$(wildcard test/fuzz/fuzz_*.c))
FUZZ_SECONDS ?= 60

.PHONY: fuzz fuzzers
fuzz: deps ## every fuzzer for FUZZ_SECONDS each (default 60)
	$(Q)$(MAKE) --no-print-directory FUZZ=1 CC=clang B=build/fuzz fuzzers
	$(Q)FUZZ_SECONDS=$(FUZZ_SECONDS) test/fuzz/run $(FUZZERS)

fuzzers: $(FUZZERS)

build/fuzz/fuzz_%: build/fuzz/test/fuzz/fuzz_%.o $(UNIT_HELPERS) $(LIBS_ALL)
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -fsanitize=fuzzer $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS)

# ---- what the code must look like -------------------------------------------

.PHONY: tidy
tidy: deps ## layers, pure folders, sizes, format, clang-tidy
	$(Q)$(MAKE) --no-print-directory all
	$(Q)B=$(B) test/tidy/run $(CPPFLAGS)

# ---- the machine ------------------------------------------------------------

.PHONY: deps demo lab install clean
deps: ## install the Debian packages that are missing
	$(Q)deploy/deps

demo: deps ## a cluster on this machine, told as a tour
	$(Q)$(MAKE) --no-print-directory all
	$(Q)deploy/demo $(B)/bin

# SHORT=1: what .ci/run has time for; KVM=1: emulate no processor, if KVM works.
SHORT ?=
KVM ?=
LAB_TESTS := cgroup disk escape net net_spoof pod_users supervisor \
	supervisor_exec supervisor_file supervisor_users
lab: ## a cluster of virtual machines: checks, drills
	$(Q)deploy/deps lab
	$(Q)$(MAKE) --no-print-directory all $(LAB_TESTS:%=$(B)/test/unit/test_%)
	$(Q)B=$(B) SHORT=$(SHORT) KVM=$(KVM) LAB_TESTS='$(LAB_TESTS)' deploy/lab/run

# The units of deploy/systemd, too; starting them is up to the machine.
install: all ## into DESTDIR/PREFIX
	$(Q)install -d $(DESTDIR)$(PREFIX)/bin
	$(Q)install -s -m 755 $(BINARIES) $(DESTDIR)$(PREFIX)/bin
	$(Q)install -d $(DESTDIR)$(PREFIX)/lib/systemd/system \
		$(DESTDIR)$(PREFIX)/lib/sysusers.d
	$(Q)for unit in kmaster knode; do \
		sed 's|@PREFIX@|$(PREFIX)|' deploy/systemd/$$unit.service | install \
			-m 644 /dev/stdin $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit.service || exit; \
	done
	$(Q)install -m 644 deploy/systemd/kontor.sysusers \
		$(DESTDIR)$(PREFIX)/lib/sysusers.d/kontor.conf

clean: ## remove what was built
	$(Q)rm -rf build

-include $(shell find $(B) -name '*.d' 2>/dev/null)
