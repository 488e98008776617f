//! What a loaded worker may still do: read the clock, wait, use the memory that it has, map frame rings for reading, and
//! talk over its socket. No files, no network, no programs, no other process. The network is denied even while it loads.

use crate::link::LinkError;
use landlock::{
    Access, AccessFs, AccessNet, LandlockStatus, RestrictSelfAttr, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
    path_beneath_rules,
};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What the system granted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Granted {
    /// Landlock's ABI in force; 0: this system has none, and seccomp alone denies files and network.
    pub landlock_abi: u32,
    /// Is the list of allowed system calls in force on all threads?
    pub seccomp: bool,
}

/// Denies every socket but local ones, for good: before libraries are loaded, some of which would report home.
pub fn deny_network() -> Result<(), LinkError> {
    let not_local = || {
        let condition = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, libc::AF_UNIX as u64)?;
        let mut rules = BTreeMap::from([(libc::SYS_socket, vec![SeccompRule::new(vec![condition])?])]);
        // It could make sockets unseen.
        rules.insert(libc::SYS_io_uring_setup, Vec::new());
        Ok(rules)
    };
    install(not_local(), SeccompAction::Allow, SeccompAction::Errno(libc::EPERM as u32))
}

/// Confines this process, all its threads, for good. Landlock as far as the system has it; without seccomp it is an error.
/// `needs_device`: it goes on talking to a GPU's driver, over the device files that it has open, and may open those again.
pub fn enter(needs_device: bool) -> Result<Granted, LinkError> {
    confine(needs_device.then(|| open_devices(NVIDIA)))
}

/// `devices`: where a driver is talked to, its files.
fn confine(devices: Option<Vec<PathBuf>>) -> Result<Granted, LinkError> {
    let refused = |what: &'static str| move |error: rustix::io::Errno| LinkError::Sandbox(format!("{what}: {error}"));
    rustix::thread::set_no_new_privs(true).map_err(refused("no-new-privileges"))?;
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable).map_err(refused("dumpable"))?;
    let landlock_abi = restrict_paths_and_ports(devices.as_deref().unwrap_or_default())?;
    // Without Landlock any file could be opened.
    restrict_system_calls(devices.is_some(), devices.is_some() && landlock_abi > 0)?;
    Ok(Granted { landlock_abi, seccomp: true })
}

/// What all of its driver's device files begin with.
const NVIDIA: &str = "/dev/nvidia";

/// Whose they are to be, which its library reads before it opens one.
const OWNERS: &str = "/proc/driver/nvidia/params";

/// Those files beginning with `prefix` that this process has open.
fn open_devices(prefix: &str) -> Vec<PathBuf> {
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let mut paths: Vec<_> = open.filter_map(|fd| std::fs::read_link(fd.path()).ok()).collect();
    paths.retain(|path| path.as_os_str().as_encoded_bytes().starts_with(prefix.as_bytes()));
    paths.sort();
    paths.dedup();
    paths
}

/// No path but `devices`, and what is read before, may be opened, no port used, no process outside be signalled. Returns the ABI in force.
fn restrict_paths_and_ports(devices: &[PathBuf]) -> Result<u32, LinkError> {
    let abi = landlock::ABI::V9;
    let owners = if devices.is_empty() { &[][..] } else { &[OWNERS] };
    let use_device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    let restricted = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(abi)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(abi)))
        .and_then(|ruleset| ruleset.create())
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(devices, use_device)))
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(owners, AccessFs::ReadFile)))
        .and_then(|ruleset| ruleset.all_threads(true))
        .and_then(|ruleset| ruleset.restrict_self())
        .map_err(|error| LinkError::Sandbox(format!("Landlock: {error}")))?;
    Ok(match (restricted.ruleset, restricted.landlock) {
        (RulesetStatus::NotEnforced, _) => 0,
        (_, LandlockStatus::Available { effective_abi, .. }) => effective_abi as u32,
        _ => 0,
    })
}

fn restrict_system_calls(needs_device: bool, opens_devices: bool) -> Result<(), LinkError> {
    // The kernel takes the strictest verdict of all filters: what kills here is not made harmless by the list below.
    install(Ok(deadly_calls()), SeccompAction::Allow, SeccompAction::KillProcess)?;
    install(allowed_calls(needs_device, opens_devices), SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Puts one filter on all threads: `matching` for calls that the rules name, `other` for all others.
fn install(rules: Result<Rules, BackendError>, other: SeccompAction, matching: SeccompAction) -> Result<(), LinkError> {
    let refused = |error: &dyn std::fmt::Display| LinkError::Sandbox(format!("seccomp: {error}"));
    let arch: TargetArch = std::env::consts::ARCH.try_into().map_err(|error: BackendError| refused(&error))?;
    let filter = rules.and_then(|rules| SeccompFilter::new(rules, other, matching, arch));
    let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(|error| refused(&error))?;
    seccompiler::apply_filter_all_threads(&program).map_err(|error| refused(&error))
}

/// Nobody asks for these by mistake.
fn deadly_calls() -> Rules {
    let calls = [libc::SYS_execve, libc::SYS_execveat, libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev];
    calls.into_iter().map(|call| (call, Vec::new())).collect()
}

/// What a loaded engine on one thread, the allocator, the standard library and `serve` ask for.
fn allowed_calls(needs_device: bool, opens_devices: bool) -> Result<Rules, BackendError> {
    let free = [
        // Memory that it has or gets.
        libc::SYS_brk,
        libc::SYS_munmap,
        libc::SYS_madvise,
        // Waiting and time.
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_ppoll,
        libc::SYS_restart_syscall,
        // Its socket, and the ring that comes through it.
        libc::SYS_sendto,
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
        libc::SYS_fstat,
        libc::SYS_close,
        // Itself: random seeds, which core, signals of its own, its end.
        libc::SYS_getrandom,
        libc::SYS_getcpu,
        libc::SYS_sched_getaffinity,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_rseq,
        libc::SYS_set_robust_list,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_exit,
        libc::SYS_exit_group,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll,
    ];
    // What a driver asks of device files, and of the events that it waits for: its thread that does so is told by a byte in a pipe.
    let of_device = [libc::SYS_ioctl, libc::SYS_read, libc::SYS_write, libc::SYS_eventfd2].into_iter().filter(|_| needs_device);
    // NVIDIA's kernel module keeps one mapping, or one event, for each open file (nv_add_mapping_context_to_file, NV_ESC_ALLOC_OS_EVENT in its
    // source): memory that is taken after this, as for another picture format, needs a device file opened once more. Before each its
    // library looks whether the file is there, as whose (nvidia_mknod in nvidia-modprobe's source).
    let opens = [
        libc::SYS_openat,
        libc::SYS_newfstatat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_stat,
    ];
    let opens = opens.into_iter().filter(|_| opens_devices);
    let mut rules: Rules = free.into_iter().chain(of_device).chain(opens).map(|call| (call, Vec::new())).collect();
    let one = |argument, operator, value: u64| -> Result<Vec<SeccompRule>, BackendError> {
        Ok(vec![SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?])?])
    };
    // No memory becomes code.
    let no_code = SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64);
    rules.insert(libc::SYS_mmap, one(2, no_code.clone(), 0)?);
    rules.insert(libc::SYS_mprotect, one(2, no_code, 0)?);
    rules.insert(libc::SYS_mremap, Vec::new());
    // What it logs goes to stderr, and nowhere else. (A driver writes to what it has open, none of which is a file's contents.)
    rules.entry(libc::SYS_write).or_insert(one(0, SeccompCmpOp::Eq, 2)?);
    rules.insert(libc::SYS_writev, one(0, SeccompCmpOp::Eq, 2)?);
    let mut of_descriptors = one(1, SeccompCmpOp::Eq, libc::F_GET_SEALS as u64)?;
    if needs_device {
        // What it opened, or was sent, it marks and copies.
        for command in [libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_DUPFD_CLOEXEC] {
            of_descriptors.extend(one(1, SeccompCmpOp::Eq, command as u64)?);
        }
    }
    rules.insert(libc::SYS_fcntl, of_descriptors);
    // abort() of its own.
    rules.insert(libc::SYS_tgkill, one(0, SeccompCmpOp::Eq, u64::from(std::process::id()))?);
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{AtFlags, CWD, statat};
    use std::fs::{File, OpenOptions};

    #[test]
    #[ignore = "the other half of a_worker_with_a_device_opens_its_files_again_and_no_others"]
    fn confine_in_this_process() {
        let device = File::open("/dev/null").unwrap();
        let (reads, writes) = rustix::pipe::pipe().unwrap();
        let devices = open_devices("/dev/nul");
        assert_eq!(devices, [PathBuf::from("/dev/null")]);
        let granted = confine(Some(devices)).unwrap();
        let open = |path| OpenOptions::new().read(true).write(true).open(path).is_ok();
        assert_eq!(open("/dev/null"), granted.landlock_abi > 0);
        assert!(!open("/dev/zero") && File::open("/etc/passwd").is_err() && std::fs::read_dir("/dev").is_err());
        assert!(File::create("/dev/shm/keyhole-probe").is_err() && std::fs::write("/dev/nvidia-probe", "x").is_err());
        assert!(std::thread::Builder::new().spawn(|| ()).is_err() && std::net::UdpSocket::bind("127.0.0.1:0").is_err());
        // What a driver does with what it has.
        let copy = rustix::io::fcntl_dupfd_cloexec(&device, 3).unwrap();
        rustix::io::fcntl_setfd(&copy, rustix::io::fcntl_getfd(&copy).unwrap()).unwrap();
        assert_eq!(statat(CWD, "/dev/null", AtFlags::empty()).is_ok(), granted.landlock_abi > 0);
        let mut told = [0];
        assert_eq!((rustix::io::write(writes, b"x"), rustix::io::read(reads, &mut told)), (Ok(1), Ok(1)));
        println!("CONFINED by Landlock {}", granted.landlock_abi);
    }

    #[test]
    fn a_worker_with_a_device_opens_its_files_again_and_no_others() {
        let half = ["--exact", "link::sandbox::tests::confine_in_this_process", "--ignored", "--nocapture"];
        let output = std::process::Command::new(std::env::current_exe().unwrap()).args(half).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("CONFINED"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    }
}
