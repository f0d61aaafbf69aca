//! System calls that no monitor of ours needs, denied beside what QEMU's own filter denies once it has begun.
//!
//! A list of what is denied, not of what is allowed: the latter differs from one QEMU, C library and processor to the next. What is
//! denied gives `EPERM`, upon which QEMU does without (it tries io_uring, for one); but `clone3`, whose arguments no filter can
//! see, gives `ENOSYS`, upon which C libraries use `clone`.

use std::io;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};

/// Calls that are denied whatever their arguments.
const DENIED: &[c_long] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_execveat,
    // Networks.
    libc::SYS_socket,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    // Namespaces and mounts.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_acct,
    // Files by a way that asks for no name, and watching them.
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_inotify_init1,
    // Names and attributes of files.
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_truncate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    // Parts of the kernel with a history.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_vmsplice,
    libc::SYS_remap_file_pages,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    libc::SYS_personality,
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_semget,
    libc::SYS_msgget,
    libc::SYS_mq_open,
    // The machine.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_vhangup,
    // Who it is, and how much it may.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
    libc::SYS_setsid,
    libc::SYS_setpgid,
];

/// The same under names of another time, which later processors do without.
#[cfg(target_arch = "x86_64")]
const DENIED_OF_OLD: &[c_long] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_mknod,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_inotify_init,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_kexec_file_load,
];
#[cfg(not(target_arch = "x86_64"))]
const DENIED_OF_OLD: &[c_long] = &[libc::SYS_kexec_file_load];

/// The filters, ready to be laid on.
#[derive(Debug)]
pub(super) struct Filters([BpfProgram; 2]);

impl Filters {
    /// System calls only.
    ///
    /// # Errors
    /// As the kernel tells.
    pub(super) fn apply(&self) -> io::Result<()> {
        for program in &self.0 {
            apply_filter(program).map_err(|error| match error {
                seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => error,
                _ => io::ErrorKind::InvalidInput.into(),
            })?;
        }
        Ok(())
    }
}

/// The filters for this processor.
///
/// # Errors
/// There are none for it.
pub(super) fn filters() -> io::Result<Filters> {
    compiled().map_err(io::Error::other)
}

fn compiled() -> Result<Filters, seccompiler::BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let always = DENIED.iter().chain(DENIED_OF_OLD).map(|&call| (call, Vec::new()));
    let flag = |argument, flags: c_long, value: c_long| {
        let [flags, value] = [flags, value].map(c_long::unsigned_abs);
        let masked = SeccompCmpOp::MaskedEq(flags);
        SeccompCondition::new(argument, SeccompCmpArgLen::Qword, masked, value)
            .and_then(|c| SeccompRule::new(vec![c]))
    };
    let thread = c_long::from(libc::CLONE_THREAD);
    let mut rules: std::collections::BTreeMap<_, _> = always.collect();
    // Threads only.
    rules.insert(libc::SYS_clone, vec![flag(0, thread, 0)?]);
    // It would outlive its daemon.
    let whole = SeccompCmpOp::Eq;
    let signal = u64::from(libc::PR_SET_PDEATHSIG.unsigned_abs());
    let condition = SeccompCondition::new(0, SeccompCmpArgLen::Dword, whole, signal)?;
    rules.insert(libc::SYS_prctl, vec![SeccompRule::new(vec![condition])?]);
    let errno = |number: i32| SeccompAction::Errno(number.unsigned_abs());
    let denied = SeccompFilter::new(rules, SeccompAction::Allow, errno(libc::EPERM), arch)?;
    let unseen = [(libc::SYS_clone3, Vec::new())].into_iter().collect();
    let unseen = SeccompFilter::new(unseen, SeccompAction::Allow, errno(libc::ENOSYS), arch)?;
    Ok(Filters([denied.try_into()?, unseen.try_into()?]))
}
