N=@NAME@; H=@HOST@; S=@SOCKET@; PORT=@PORT@; VICTIM=@VICTIM@; U=/../../../../../../../../../../..; K=/var/lib/kit
mkdir -p $K; echo ran > "$K/ran.$N"
escaped() { echo "$*" >> "$K/escaped.$N"; }
try() { if "$@" >/dev/null 2>&1 </dev/null; then escaped "$*"; fi; }
reach() { ( echo ESCAPED > "$1$U$H/$N" ) 2>/dev/null; ( echo ESCAPED > "$1$H/$N" ) 2>/dev/null; }
# Writes what a file holds to it again.
again() { if [ -e "$1" ] && v=$(cat "$1" 2>/dev/null) && ( printf '%%s\n' "$v" > "$1" ) 2>/dev/null; then escaped "$1"; fi; }
connect() { python3 -c 'import socket, sys; n = sys.argv[1]; s = socket.socket(socket.AF_UNIX); s.connect("\0" + n[1:] if n[0] == "@" else n); s.send(b"x")' "$1" 2>/dev/null && escaped "$1"; }
# A system call by number, as x86-64 counts. On other machines only the rest of the kit says something.
call() {
  [ "$(uname -m)" = x86_64 ] || return 1
  python3 -c 'import ctypes, sys
l = ctypes.CDLL(None, use_errno=True)
a = [ctypes.c_long(int(x, 0)) if x[:1] in set("-0123456789") and x[:1] else ctypes.c_char_p(x.encode()) for x in sys.argv[1:]]
sys.exit(0 if l.syscall(*a) >= 0 else 1)' "$@"
}
