"""Run a command on a terminal of 30 x 100, type at it, change its size, and end
with its exit code; what it shows goes to stdout."""
import fcntl, os, pty, select, struct, sys, termios


def resize(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def shows(fd, text):
    seen = b""
    while text not in seen:
        if not select.select([fd], [], [], 20)[0]:
            sys.exit(f"waited in vain for {text}: {seen}")
        seen += os.read(fd, 4096)
    sys.stdout.write(seen.decode(errors="replace"))


pid, fd = pty.fork()
if pid == 0:
    resize(0, 30, 100)
    os.execvp(sys.argv[1], sys.argv[1:])
shows(fd, b"# ")
os.write(fd, b"stty size; echo si''ze\n")
shows(fd, b"\nsize")
resize(fd, 40, 120)
os.write(fd, b"until stty size | grep 40; do :; done; tty; echo en''d\n")
shows(fd, b"\nend")
os.write(fd, b"sh -c 'echo asl\"\"eep; exec sleep 100'\n")
shows(fd, b"\nasleep")
os.write(fd, b"\x03")  # Ctrl-C ends the sleep, not the shell
os.write(fd, b"exit 5\n")
try:
    while os.read(fd, 4096):
        pass
except OSError:
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
