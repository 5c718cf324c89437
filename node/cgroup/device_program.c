/* device_program.c - what v2 has for v1's devices.allow: a program of the
 * kernel's machine, which is attached to a group and asked at each mknod(2) and
 * open(2) of a device in it and beneath it. It goes with the group.
 *
 * bpf(2); https://docs.kernel.org/bpf/standardization/instruction-set.html;
 * struct bpf_cgroup_dev_ctx in linux/bpf.h */
#include "node/cgroup/backend.h"

#include "base/fd.h"
#include "node/cgroup/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/major.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { INSTRUCTIONS_MAX = 64, PTMX_MINOR = 2, TYPE_BITS = 16, NEXT = 2 };

/* Registers: what it says, what it is called with, and what it is asked. */
enum {
    RESULT = BPF_REG_0,
    CONTEXT = BPF_REG_1,
    TYPE = BPF_REG_2,
    ACCESS = BPF_REG_3,
    MAJOR = BPF_REG_4,
    MINOR = BPF_REG_5
};

struct program {
    struct bpf_insn instructions[INSTRUCTIONS_MAX];
    unsigned count;
};

static struct bpf_insn *add(struct program *program, unsigned code, unsigned to,
                            int value)
{
    struct bpf_insn *added = &program->instructions[program->count++];

    *added = (struct bpf_insn){
        .code = (__u8)code, .dst_reg = to & 0xf, .imm = value};
    return added;
}

static void load(struct program *program, unsigned to, size_t offset)
{
    struct bpf_insn *added = add(program, BPF_LDX | BPF_MEM | BPF_W, to, 0);

    added->src_reg = CONTEXT;
    added->off = (__s16)offset;
}

static void jump(struct program *program, unsigned comparison, unsigned left,
                 int right, int over)
{
    add(program, BPF_JMP | comparison | BPF_K, left, right)->off = (__s16)over;
}

static void say(struct program *program, bool allowed)
{
    add(program, BPF_ALU64 | BPF_MOV | BPF_K, RESULT, allowed);
    add(program, BPF_JMP | BPF_EXIT, 0, 0);
}

static void allow(struct program *program, int major, int minor)
{
    jump(program, BPF_JNE, MAJOR, major, 1 + NEXT);
    jump(program, BPF_JNE, MINOR, minor, NEXT);
    say(program, true);
}

static void assemble(struct program *program)
{
    const size_t both = offsetof(struct bpf_cgroup_dev_ctx, access_type);

    load(program, TYPE, both);
    add(program, BPF_ALU64 | BPF_AND | BPF_K, TYPE, (1 << TYPE_BITS) - 1);
    load(program, ACCESS, both);
    add(program, BPF_ALU64 | BPF_RSH | BPF_K, ACCESS, TYPE_BITS);
    load(program, MAJOR, offsetof(struct bpf_cgroup_dev_ctx, major));
    load(program, MINOR, offsetof(struct bpf_cgroup_dev_ctx, minor));
    jump(program, BPF_JNE, ACCESS, BPF_DEVCG_ACC_MKNOD, NEXT);
    say(program, true);
    jump(program, BPF_JEQ, TYPE, BPF_DEVCG_DEV_CHAR, NEXT);
    say(program, false);
    jump(program, BPF_JNE, MAJOR, UNIX98_PTY_SLAVE_MAJOR, NEXT);
    say(program, true);
    allow(program, TTYAUX_MAJOR, PTMX_MINOR);
    for (size_t i = 0; i < POD_DEVICES; i++)
        allow(program, pod_devices[i].major, pod_devices[i].minor);
    say(program, false);
}

static int bpf(int command, union bpf_attr *what)
{
    return (int)syscall(SYS_bpf, command, what, sizeof *what);
}

/* The kernel has copied it when this returns. */
static int load_program(int *fd, struct error *why)
{
    struct program program = {.count = 0};
    union bpf_attr what;

    assemble(&program);
    memset(&what, 0, sizeof what);
    what.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    what.insns = (uintptr_t)program.instructions;
    what.insn_cnt = program.count;
    what.license = (uintptr_t) "";
    memcpy(what.prog_name, "kontor_devices", sizeof "kontor_devices");
    *fd = bpf(BPF_PROG_LOAD, &what);
    if (*fd < 0)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "this kernel takes no program for a cgroup's devices "
                         "(CONFIG_CGROUP_BPF): %s",
                         strerror(errno));
    return 0;
}

/* Nobody else attaches one to a pod's group. */
static bool has_program(int group)
{
    union bpf_attr what;

    memset(&what, 0, sizeof what);
    what.query.target_fd = (__u32)group;
    what.query.attach_type = BPF_CGROUP_DEVICE;
    return bpf(BPF_PROG_QUERY, &what) == 0 && what.query.prog_cnt > 0;
}

/* Others may be attached beneath it, by an engine in a container: all of them
 * have to allow what is allowed. */
int cgroup_device_program(const char *root, const char *path, struct error *why)
{
    char name[CGROUP_FILE_PATH_MAX];
    CLEANUP(fd_close) int program = -1;
    CLEANUP(fd_close) int group = -1;
    union bpf_attr what;

    snprintf(name, sizeof name, "%s/%s", root, path);
    group = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (group < 0)
        return error_errno(why, "open cgroup %s", name);
    if (has_program(group))
        return 0;
    if (load_program(&program, why) != 0)
        return (int)why->code;
    memset(&what, 0, sizeof what);
    what.target_fd = (__u32)group;
    what.attach_bpf_fd = (__u32)program;
    what.attach_type = BPF_CGROUP_DEVICE;
    what.attach_flags = BPF_F_ALLOW_MULTI;
    if (bpf(BPF_PROG_ATTACH, &what) != 0)
        return error_errno(why, "attach a device program to cgroup %s", name);
    return 0;
}
