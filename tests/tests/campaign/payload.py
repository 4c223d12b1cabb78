# What a hostile command tries from inside. Whatever works that should not is printed as "ESCAPE: ...";
# what it changes outside is seen there.
import json, os, socket, stat, sys

secret, made, canary, listener, abstract, true_size, marker = sys.argv[1:8]
UP = "../" * 24


def escape(*words):
    print("ESCAPE:", *words, flush=True)


def quiet(action):
    try:
        return action()
    except (OSError, ValueError):
        return None


def read(path):
    with open(path, "rb") as file:
        return file.read(200)


def append(path, text=b"# attacked\n"):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOCTTY)
    try:
        os.write(fd, text)
    finally:
        os.close(fd)


# The host's files, from every directory that may lead to them.
bases = [".", "/proc/1/root", "/proc/1/cwd", "/proc/self/root"] + [f"/proc/self/fd/{n}" for n in range(3, 40)]
bases += [f"/proc/1/fd/{n}" for n in range(3, 40)]
for base in bases:
    for way in (f"{base}/{UP}{secret}", f"{base}{secret}"):
        if b"a secret of the host" in (quiet(lambda: read(way)) or b""):
            escape("read", way)
    quiet(lambda: os.close(os.open(f"{base}/{UP}{made}", os.O_WRONLY | os.O_CREAT, 0o600)))

# Everything that is mounted.
points, procs = [], []
for line in open("/proc/self/mountinfo"):
    words = line.split()
    point = words[4].encode().decode("unicode_escape")
    kind = words[words.index("-") + 1]
    (procs if kind == "proc" else points).append(point)

# Files that decide, wherever they are to be seen. Only those of this campaign's own world, which have
# its marker in them, are written to: where something leads out, nothing else of the host is harmed.
NAMES = {".rednode.yaml", "redpak.yaml", "policy.yaml", "record.json", "rpmdb.sqlite"}
SKIP = {"/proc", "/sys", "/dev", "/usr"}


def attack(path):
    if marker.encode() in (quiet(lambda: read(path)) or b""):
        quiet(lambda: append(path))
        return True
    return False


seen = 0
for point in dict.fromkeys(["/"] + points):
    if point in SKIP or any(point.startswith(skip + "/") for skip in ("/proc", "/sys", "/dev")):
        continue
    if os.path.isfile(point):
        attack(point)
        continue
    for folder, below, files in os.walk(point):
        seen += 1
        if seen > 3000:
            break
        below[:] = [one for one in below if one not in ("proc", "sys", "dev", "usr")]
        marked = [name for name in files if name in NAMES and attack(os.path.join(folder, name))]
        # What an update or the next start would read.
        if ".rednode.yaml" in marked:
            quiet(lambda: os.makedirs(os.path.join(folder, ".red/gen"), exist_ok=True))
            quiet(lambda: os.rename(os.path.join(folder, "etc"), os.path.join(folder, "etc-of-campaign")))
        if "redpak.yaml" in marked:
            new = os.path.join(folder, "redpak-admin.yaml")
            quiet(lambda: os.close(os.open(new, os.O_WRONLY | os.O_CREAT, 0o644)))

# A node of the container's own making, in a place that it may write to.
NODE = """headers: {{alias: x}}
config: {{share_all: Enabled, capabilities: [{{cap: ALL, add: 1}}]}}
exports:
  - {{mode: Restricted, mount: /usr}}
  - {{mode: Symlink, mount: /bin, path: usr/bin}}
  - {{mode: Symlink, mount: /lib, path: usr/lib}}
  - {{mode: Symlink, mount: /lib64, path: usr/lib64}}
  - {{mode: Procfs, mount: /proc}}
  - {{mode: Public, mount: /h, path: {}}}
"""
def nest():
    folder = os.environ.get("RED_NEST")
    if not folder:
        return
    os.makedirs(folder + "/x/etc", exist_ok=True)
    os.chmod(folder, 0o755)
    real = os.environ["RED_NEST_REAL"] + "/x"
    open(folder + "/x/.rednode.yaml", "w").write(f"realpath: {real}\ntimestamp: 1700000000000\nstate: Enable\n")
    open(folder + "/x/etc/redpak.yaml", "w").write(NODE.format(os.path.dirname(secret)))
quiet(nest)

# What is exported becomes a link, for the next start.
def relink():
    target = os.environ.get("RED_RELINK")
    if target:
        os.rename("/data/core/sub", "/data/core/aside")
        os.symlink(target, "/data/core/sub")
quiet(relink)

# What is read-only stays as it is.
for folder in ("/usr", "/usr/bin", "/usr/sbin", "/ro/core", "/ro/mid", "/ro/app", "/etc"):
    if not os.path.isdir(folder):
        continue
    path = folder + "/evil-of-campaign"
    fd = quiet(lambda: os.open(path, os.O_WRONLY | os.O_CREAT, 0o755))
    if fd is not None:
        os.close(fd)
        if folder != "/etc":
            escape("wrote to a read-only export", folder)
        quiet(lambda: os.unlink(path))
for path in ("/ro/core/file", "/ro/mid/file", "/ro/app/file"):
    text = quiet(lambda: read(path))
    if text is not None and text != b"ro\n":
        escape("changed contents of", path)
for path in ("/etc/hosts", "/etc/passwd", "/etc/localtime", "/etc/resolv.conf"):
    if b"the file of a user" in (quiet(lambda: read(path)) or b""):
        escape("a user's file at", path)
for folder in ("/again", "/sub"):
    if os.path.exists(folder + "/shadow") or os.path.exists(folder + "/redpak.yaml"):
        escape("what decides is exported at", folder)
if quiet(lambda: os.stat("/usr/bin/true").st_size) not in (None, int(true_size)):
    escape("another /usr/bin/true")

# Processes, kernel settings and services of the host.
for proc in dict.fromkeys(procs + ["/hp", "/proc"]):
    if b"red-canary" in (quiet(lambda: read(f"{proc}/{canary}/cmdline")) or b""):
        escape("sees processes of the host at", proc)
    for setting in ("kernel/core_pattern", "kernel/modprobe", "vm/swappiness"):
        fd = quiet(lambda: os.open(f"{proc}/sys/{setting}", os.O_WRONLY))
        if fd is not None:
            os.close(fd)
            escape("may write", setting, "at", proc)
for folder in points:
    if os.path.exists(folder + "/release_agent") and os.access(folder + "/release_agent", os.W_OK):
        fd = quiet(lambda: os.open(folder + "/release_agent", os.O_WRONLY))
        if fd is not None:
            os.close(fd)
            escape("may write release_agent at", folder)
    if os.path.exists(f"{folder}/{marker}"):
        escape("sees a message queue of the host at", folder)
limits = ["/sys/kernel/mm/ksm/run", "/sys/kernel/uevent_helper", "/sys/power/state"]
for folder, below, files in os.walk("/sys/fs/cgroup"):
    limits += [f"{folder}/{name}" for name in files if name in ("pids.max", "memory.max", "memory.limit_in_bytes", "cgroup.procs")]
    if len(limits) > 100:
        break
for path in limits:
    fd = quiet(lambda: os.open(path, os.O_WRONLY))
    if fd is not None:
        os.close(fd)
        escape("may write", path)
quiet(lambda: os.kill(int(canary), 10))
for address in (listener, "\0" + abstract):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(1)
    quiet(lambda: client.connect(address))
    client.close()

# Devices that no rule allows; md devices exist on no test machine, and opening one harms nothing.
for number, kind in ((os.makedev(9, 5), stat.S_IFBLK), (os.makedev(1, 1), stat.S_IFCHR)):
    for folder in ("/dev", "/tmp", "/"):
        path = folder + "/device-of-campaign"
        if quiet(lambda: os.mknod(path, kind | 0o600, number) or True):
            os.unlink(path)
            escape("made a device", os.major(number), os.minor(number))

spaces = {name: quiet(lambda: os.readlink(f"/proc/self/ns/{name}")) for name in ("net", "ipc", "pid", "mnt", "uts")}
print("NS", json.dumps(spaces), flush=True)
