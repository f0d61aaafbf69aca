//! What a program in the jail tries: each is forbidden there.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, parent_id};
use std::path::Path;
use std::process::Command;

/// What it does, and how.
pub(super) type Act = (&'static str, fn(&Path) -> io::Result<()>);

/// A system call that is told by a negative number when it fails.
fn call(answer: impl Into<i64>) -> io::Result<()> {
    if answer.into() < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A call by its number, with numbers.
fn raw<const N: usize>(number: libc::c_long, arguments: [usize; N]) -> io::Result<()> {
    let of = |index: usize| arguments.get(index).copied().unwrap_or_default();
    // SAFETY: whoever calls gives numbers, or pointers to what outlives the call.
    call(unsafe { libc::syscall(number, of(0), of(1), of(2), of(3), of(4), of(5)) })
}

/// What failed for this reason only was allowed.
fn allowed_but(reason: i32, answer: io::Result<()>) -> io::Result<()> {
    answer.or_else(|error| if error.raw_os_error() == Some(reason) { Ok(()) } else { Err(error) })
}

fn socket(family: i32, kind: i32) -> io::Result<()> {
    // SAFETY: numbers only.
    call(unsafe { libc::socket(family, kind, 0) })
}

fn parent() -> usize {
    parent_id() as usize
}

/// One that ends at once.
fn process(flags: i32) -> io::Result<()> {
    // SAFETY: the child ends at once, by a call that is no more than that.
    match unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD | flags, 0, 0, 0, 0) } {
        // SAFETY: as above.
        0 => unsafe { libc::_exit(0) },
        child => call(child),
    }
}

fn zeroed() -> [u64; 32] {
    [0; 32]
}

const LAST: &str = "runs another program";

/// The acts. The last ones change what their process sees, and is. `stage` is as [`stage`](super::stage) makes it.
pub(super) const ACTS: &[Act] = &[
    ("reads a file that its owner alone may read", |stage| fs::read(stage.join("key")).map(drop)),
    ("reads a file that everybody may read", |stage| fs::read(stage.join("open")).map(drop)),
    ("reads the machine's passwords", |_| fs::read("/etc/shadow").map(drop)),
    ("reads the machine's accounts", |_| fs::read("/etc/passwd").map(drop)),
    ("lists the root", |_| fs::read_dir("/").map(drop)),
    ("lists processes", |_| fs::read_dir("/proc").map(drop)),
    ("writes to a file that everybody may write to", |stage| {
        fs::OpenOptions::new().append(true).open(stage.join("open")).map(drop)
    }),
    ("cuts a file off", |stage| {
        let path = cstring(&stage.join("open"));
        raw(libc::SYS_truncate, [path.as_ptr() as usize, 0])
    }),
    ("makes a file", |stage| File::create(stage.join("folder/made")).map(drop)),
    ("makes a file in shared memory", |_| {
        let path = format!("/dev/shm/fades-jail-{}", std::process::id());
        File::create(&path).and_then(|_| fs::remove_file(path))
    }),
    ("makes a folder", |stage| fs::create_dir(stage.join("folder/deeper"))),
    ("makes a link", |stage| symlink("/", stage.join("folder/link"))),
    ("renames a file", |stage| fs::rename(stage.join("folder/old"), stage.join("folder/new"))),
    ("removes a file", |stage| fs::remove_file(stage.join("folder/gone"))),
    ("makes a file everybody's", |stage| {
        fs::set_permissions(stage.join("mode"), PermissionsExt::from_mode(0o777))
    }),
    ("makes a device", |stage| {
        let path = cstring(&stage.join("folder/device"));
        let (here, kind) = (libc::AT_FDCWD as usize, (libc::S_IFCHR | 0o600) as usize);
        raw(libc::SYS_mknodat, [here, path.as_ptr() as usize, kind, 0x0103])
    }),
    ("runs a program that it has open", |_| {
        let program = File::open("/usr/bin/env")?;
        let (empty, flags) = (c"".as_ptr() as usize, libc::AT_EMPTY_PATH as usize);
        // With arguments that are nowhere, so that it is no other program then.
        allowed_but(libc::EFAULT, raw(libc::SYS_execveat, [program.as_raw_fd() as usize, empty, 1, 1, flags]))
    }),
    ("starts a process", |_| process(0)),
    ("opens a socket of IPv4", |_| socket(libc::AF_INET, libc::SOCK_STREAM)),
    ("opens a socket of IPv6", |_| socket(libc::AF_INET6, libc::SOCK_DGRAM)),
    ("opens a raw socket", |_| socket(libc::AF_PACKET, libc::SOCK_RAW)),
    ("asks the kernel's network", |_| socket(libc::AF_NETLINK, libc::SOCK_RAW)),
    ("connects to a socket by its name", |stage| UnixStream::connect(stage.join("socket")).map(drop)),
    ("listens on a socket", |stage| UnixListener::bind(stage.join("folder/own")).map(drop)),
    ("signals its parent", |_| raw(libc::SYS_kill, [parent(), 0])),
    ("signals all it can", |_| raw(libc::SYS_kill, [usize::MAX, 0])),
    ("takes hold of its parent", |_| raw(libc::SYS_pidfd_open, [parent(), 0])),
    ("traces its parent", |_| {
        // The thread's end lets it go.
        raw(libc::SYS_ptrace, [libc::PTRACE_SEIZE as usize, parent(), 0, 0])
    }),
    ("reads its parent's memory", |_| {
        let mut here = zeroed();
        let (local, remote) = (iovec(here.as_mut_ptr()), iovec(here.as_mut_ptr()));
        let (local, remote) = (&raw const local as usize, &raw const remote as usize);
        // Its parent may have nothing there.
        allowed_but(libc::EFAULT, raw(libc::SYS_process_vm_readv, [parent(), local, 1, remote, 1, 0]))
    }),
    ("opens its parent's memory", |_| File::open(format!("/proc/{}/mem", parent())).map(drop)),
    ("opens what its parent has open", |_| File::open(format!("/proc/{}/fd/0", parent())).map(drop)),
    ("has a user namespace", |_| process(libc::CLONE_NEWUSER)),
    ("loads a program into the kernel", |_| {
        // BPF_MAP_CREATE of an array of one element of four bytes.
        let map = [2_u32, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        raw(libc::SYS_bpf, [0, map.as_ptr() as usize, size_of_val(&map)])
    }),
    ("has a ring of calls", |_| {
        let mut parameters = zeroed();
        raw(libc::SYS_io_uring_setup, [1, parameters.as_mut_ptr() as usize])
    }),
    ("measures the machine", |_| {
        // struct perf_event_attr: software, its size, context switches.
        let mut event = zeroed();
        event[0] = 1 | 128 << 32;
        event[1] = 3;
        raw(libc::SYS_perf_event_open, [event.as_ptr() as usize, 0, usize::MAX, usize::MAX, 0])
    }),
    ("handles its own page faults", |_| raw(libc::SYS_userfaultfd, [0])),
    ("keeps a key in the kernel", |_| {
        let [kind, name] = [c"user".as_ptr() as usize, c"fades".as_ptr() as usize];
        raw(libc::SYS_add_key, [kind, name, name, 5, usize::MAX - 1])
    }),
    ("has shared memory by a number", |_| {
        raw(libc::SYS_shmget, [0, 4096, (libc::IPC_CREAT | 0o600) as usize])
    }),
    ("is root", |_| {
        raw(libc::SYS_setresuid, [0, 0, 0])?;
        fs::read("/etc/shadow").map(drop)
    }),
    ("sets the clock", |_| {
        // By nothing: `struct timex`, ADJ_OFFSET_SINGLESHOT.
        let mut change = zeroed();
        change[0] = 0x8001;
        raw(libc::SYS_adjtimex, [change.as_mut_ptr() as usize])
    }),
    ("names the machine", |_| {
        let mut names = [0_u8; 65 * 6];
        raw(libc::SYS_uname, [names.as_mut_ptr() as usize])?;
        let length = names[65..130].iter().position(|&byte| byte == 0).unwrap_or(64);
        raw(libc::SYS_sethostname, [names[65..].as_ptr() as usize, length])
    }),
    ("outlives its daemon", |_| raw(libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as usize, 0])),
    ("has a terabyte", |_| {
        let anonymous = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE) as usize;
        raw(libc::SYS_mmap, [0, 1 << 40, libc::PROT_READ as usize, anonymous, usize::MAX, 0])
    }),
    ("has a thousand files open", |_| {
        let files: io::Result<Vec<File>> = (0..1000).map(|_| File::open("/usr/bin/env")).collect();
        files.map(drop)
    }),
    ("mounts", |stage| {
        let place = cstring(&stage.join("folder"));
        let [place, kind] = [place.as_ptr() as usize, c"tmpfs".as_ptr() as usize];
        raw(libc::SYS_mount, [kind, place, kind, 0, 0])
    }),
    ("changes its root", |_| raw(libc::SYS_chroot, [c"/".as_ptr() as usize])),
    (LAST, |_| {
        // Which says so itself.
        Err(Command::new("/bin/echo").arg(format!("{}{LAST}: done", super::MARK)).exec())
    }),
];

fn cstring(path: &Path) -> CString {
    CString::new(path.to_str().unwrap()).unwrap()
}

fn iovec(at: *mut u64) -> libc::iovec {
    libc::iovec { iov_base: at.cast(), iov_len: 8 }
}
