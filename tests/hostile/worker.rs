//! A program that the tests run as AI process. Its first argument says how it behaves; all but the first few modes speak
//! the protocol by hand, as somebody would who has taken the worker over, and run unconfined.

use keyhole::base::clock::MonotonicClock;
use keyhole::base::ids::{ClassId, FrameId, TrackId};
use keyhole::base::slot::Wake;
use keyhole::frame::Stamps;
use keyhole::link::wire::{self, FromParent, Infer, Introduction, Kind};
use keyhole::link::{Analyst, Handed, Hello, Settings, Socket, Spawn, Worker, encode_scene, sandbox, worker_main};
use keyhole::scene::{AnalysisTimes, ClassMask, Scene, Track, Trust};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FallocateFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};
use rustix::process::{Signal, kill_process};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let count = std::env::args().nth(2).and_then(|count| count.parse().ok()).unwrap_or(0);
    match mode.as_str() {
        "crash-at-start" => std::process::abort(),
        "parent" => parent(),
        "refuse" => std::process::exit(worker_main(|_| Err("no engine fits: install one\u{7}".to_owned()))),
        "stuck" => std::process::exit(worker_main(|_| stuck())),
        "load-probe" => std::process::exit(worker_main(|_| Err(network()))),
        "good" | "crash-after" | "fault" | "own-nonsense" | "silent" | "probe" | "exec" | "proves" | "unproven" | "broken" | "slow" => {
            std::process::exit(worker_main(|_| Ok(Box::new(Fixed { mode, count, done: 0, proofs: 0 }))))
        }
        _ => by_hand(&mode),
    }
}

/// A valid scene that says the same of every frame; `unknown_px` is the frame's first byte.
fn scene(stamps: Stamps, picture: [u32; 2], first_byte: u8) -> Scene {
    let track = Track {
        id: TrackId(1),
        class: ClassId(5),
        confidence: 0.9,
        state: Trust::Sure,
        bbox: [4.0, 4.0, 20.0, 20.0],
        tip: Some([20.0, 20.0]),
        axis: None,
        velocity_px_s: [0.0; 2],
        outlines: vec![vec![[4.0, 4.0], [20.0, 4.0], [20.0, 20.0]]],
    };
    Scene {
        frame: stamps.id,
        pts_ns: stamps.pts_ns,
        capture_ns: stamps.capture_ns,
        picture,
        frame_state: Trust::Sure,
        tracks: vec![track],
        tissues: Vec::new(),
        findings: Vec::new(),
        frame_classes: Vec::new(),
        departed: Vec::new(),
        reset: None,
        gate: None,
        unknown_px: first_byte.into(),
        mask: ClassMask { width: 2, height: 1, ids: vec![0, 5] },
        times: AnalysisTimes::default(),
    }
}

/// Behaves well towards the link; its mode says what it does besides.
struct Fixed {
    mode: String,
    count: u32,
    done: u32,
    proofs: u32,
}

impl Analyst for Fixed {
    fn ready(&self) -> serde_json::Value {
        serde_json::json!([{ "name": "fixed" }])
    }

    fn analyse(&mut self, frame: Handed<'_>, stamps: Stamps, is_current: &dyn Fn() -> bool) -> Result<Option<Scene>, String> {
        let view = frame.view;
        let mut answer = scene(stamps, [view.layout.width as u32, view.layout.height as u32], view.row(0, 0)[0]);
        if !is_current() {
            return Ok(None);
        }
        self.done += 1;
        match self.mode.as_str() {
            "crash-after" if self.done > self.count => std::process::abort(),
            "fault" | "broken" => return Err("the engine broke".to_owned()),
            "own-nonsense" if self.done.is_multiple_of(2) => answer.tracks[0].bbox[0] = f32::NAN,
            "silent" => return Ok(None),
            "slow" => std::thread::sleep(Duration::from_millis(self.count.into())),
            "probe" => return Err(probe()),
            "exec" => return Err(exec()),
            _ => {}
        }
        Ok(Some(answer))
    }

    fn prove(&mut self) -> Result<Option<[u8; 32]>, String> {
        self.proofs += 1;
        Ok(match self.mode.as_str() {
            "proves" => Some([7; 32]),
            "broken" => Some([u8::from(self.proofs > 1); 32]),
            "unproven" => Some([u8::from(self.proofs > self.count); 32]),
            _ => None,
        })
    }

    fn input_hash(&mut self, frame: Handed<'_>) -> Option<[u8; 32]> {
        Some([frame.view.row(0, 0)[0]; 32])
    }
}

/// What a confined worker could still do that it must not: nothing, if all goes well.
fn probe() -> String {
    let mut done = Vec::new();
    let mut attempt = |name: &str, outcome: bool| {
        if outcome {
            done.push(name.to_owned());
        }
    };
    attempt("open a file", std::fs::File::open("/etc/passwd").is_ok());
    attempt("create a file", std::fs::write("/tmp/keyhole-probe", "x").is_ok());
    attempt("list a folder", std::fs::read_dir("/").is_ok());
    attempt("connect", std::net::TcpStream::connect("127.0.0.1:1").is_err_and(|error| error.raw_os_error() != Some(libc::EPERM)));
    attempt("bind a port", std::net::UdpSocket::bind("127.0.0.1:0").is_ok());
    attempt("make a socket", Socket::pair().is_ok());
    attempt("start a thread", std::thread::Builder::new().spawn(|| ()).is_ok());
    attempt("signal its parent", rustix::process::getppid().is_some_and(|parent| kill_process(parent, Signal::CONT).is_ok()));
    attempt("signal all", kill_process(rustix::process::Pid::from_raw(1).expect("not 0"), Signal::CONT).is_ok());
    attempt("make memory executable", map(ProtFlags::READ | ProtFlags::EXEC));
    attempt("make shared memory", rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC).is_ok());
    attempt("raise its priority", rustix::process::setpriority_process(None, 0).is_ok());
    // And what it must still be able to do.
    if !map(ProtFlags::READ | ProtFlags::WRITE) || vec![1u8; 64 << 20].iter().map(|&byte| u64::from(byte)).sum::<u64>() != 64 << 20 {
        return "it could not get memory".to_owned();
    }
    if done.is_empty() { "it could do nothing".to_owned() } else { format!("it could {}", done.join(", ")) }
}

/// What a worker can reach while it loads.
fn network() -> String {
    let tcp = std::net::TcpStream::connect("127.0.0.1:1").map_err(|error| error.raw_os_error());
    let udp = std::net::UdpSocket::bind("[::1]:0").map_err(|error| error.raw_os_error());
    let denied = tcp.err() == Some(Some(libc::EPERM)) && udp.err() == Some(Some(libc::EPERM));
    let telemetry = std::env::var_os("ORT_DISABLE_TELEMETRY").is_none();
    format!("network denied: {denied}, telemetry: {telemetry}, files: {}", std::fs::File::open("/etc/passwd").is_ok())
}

/// Becomes another program, if it can.
fn exec() -> String {
    let program = c"/bin/true".as_ptr();
    // SAFETY: strings and lists end with a zero, and live while they are read.
    let result = unsafe { libc::execve(program, [program, std::ptr::null()].as_ptr(), [std::ptr::null()].as_ptr()) };
    format!("exec: {result}")
}

fn map(prot: ProtFlags) -> bool {
    // SAFETY: a fresh private mapping at an address of the kernel's choice; nobody uses it.
    unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), 4096, prot, MapFlags::PRIVATE) }.is_ok()
}

/// Speaks the protocol by hand, badly.
fn by_hand(mode: &str) -> ! {
    // SAFETY: the parent made descriptor 0 the socket, and nobody else here uses standard input.
    let socket = Socket::from(unsafe { OwnedFd::from_raw_fd(0) });
    let say = |packet: &[u8]| {
        if socket.send_waiting(packet).is_err() {
            std::process::exit(0);
        }
    };
    let proof = (mode == "no-proof").then_some([7; 32]);
    let introduction = Introduction { engines: serde_json::Value::Null, sandbox: sandbox::Granted::default(), proof, reads_on: None };
    let introduction = wire::packet(Kind::Ready, &serde_json::to_vec(&introduction).expect("plain values"));
    let mut buffer = vec![0; 64 * 1024];
    let mut picture = [0; 2];
    loop {
        let mut waited = [PollFd::new(&socket, PollFlags::IN)];
        let patience = rustix::event::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        let ready = rustix::event::poll(&mut waited, Some(&patience)).unwrap_or(0);
        if ready == 0 && mode != "mute" && mode != "never-ready" {
            say(&wire::packet(Kind::Heartbeat, &[]));
        }
        let (received, fds) = socket.receive_with_fds(&mut buffer).expect("the socket works");
        let length = match received {
            keyhole::link::Received::Packet(length) => length,
            keyhole::link::Received::Nothing => continue,
            _ => std::process::exit(0),
        };
        match FromParent::read(&buffer[..length]).expect("the parent speaks the protocol") {
            FromParent::Hello(_) if mode == "never-ready" => {}
            FromParent::Hello(_) if mode == "early" => say(&wire::packet(Kind::Heartbeat, &[])),
            FromParent::Hello(_) => say(&introduction),
            FromParent::Ring(ring) => {
                picture = [ring.geometry.layout.width as u32, ring.geometry.layout.height as u32];
                if mode == "write" {
                    let fd = fds.first().expect("a ring comes with its memory");
                    say(&wire::packet(Kind::Fault, write_all(fd, ring.geometry.total_bytes()).as_bytes()));
                }
            }
            FromParent::Infer(infer) => misbehave(mode, &infer, picture, &introduction, &say),
            // Nobody orders anything here.
            FromParent::Order(_) => {}
        }
    }
}

fn misbehave(mode: &str, infer: &Infer, picture: [u32; 2], introduction: &[u8], say: &dyn Fn(&[u8])) {
    let stamps = infer.stamps;
    let mut answer = scene(stamps, picture, 0);
    let say_scene = |scene: &Scene| {
        let mut body = Vec::new();
        encode_scene(scene, &mut body).expect("within the limits");
        say(&wire::packet(Kind::Scene, &body));
    };
    match mode {
        "nan" => answer.tracks[0].outlines[0][0][0] = f32::NAN,
        "million-tracks" => {
            let mut body = Vec::new();
            encode_scene(&answer, &mut body).expect("within the limits");
            // Where the number of tracks stands; then as many bytes as a packet holds.
            body.truncate(65);
            body.extend_from_slice(&[0xff, 0xff]);
            body.resize(200 * 1024, 0);
            return say(&wire::packet(Kind::Scene, &body));
        }
        "future-frames" => answer.frame = FrameId(stamps.id.0 + 1000),
        "wrong-stamps" => answer.capture_ns += 1,
        "wrong-size" => answer.picture = [4096, 4096],
        "twice" => say_scene(&answer),
        "other-hash" => return say(&wire::hash_packet(stamps.id, Some(&[1; 32]))),
        "ready-twice" => return say(introduction),
        "surprising-proof" => return say(&wire::packet(Kind::Proof, &[7; 32])),
        "late-refusal" => return say(&wire::packet(Kind::Failed, b"no engine")),
        "garbage" => return say(b"\x00garbage\xff"),
        "too-long" => return say(&vec![0; 400 * 1024]),
        "flood" => loop {
            say(&wire::packet(Kind::Heartbeat, &[]));
        },
        "stop" => {
            let _ = kill_process(rustix::process::getpid(), Signal::STOP);
            return;
        }
        "no-proof" => {}
        // Hangs: with heartbeats, or without.
        _ => return,
    }
    say_scene(&answer);
}

/// Tries every way to change the ring's memory that a descriptor gives. Returns what succeeded.
fn write_all(fd: &OwnedFd, bytes: usize) -> String {
    let mut done = Vec::new();
    let mut attempt = |name: &'static str, outcome: Result<(), Errno>| {
        if outcome.is_ok() {
            done.push(name);
        }
    };
    let map = |fd: &OwnedFd, prot| {
        // SAFETY: a fresh mapping at an address of the kernel's choice; it is never unmapped.
        unsafe { rustix::mm::mmap(std::ptr::null_mut(), bytes, prot, MapFlags::SHARED, fd, 0) }
    };
    let scribble = |start: *mut core::ffi::c_void| {
        // SAFETY: `bytes` bytes were mapped for writing there.
        unsafe { std::ptr::write_bytes(start.cast::<u8>(), 0xee, bytes) };
    };
    attempt("map", map(fd, ProtFlags::READ | ProtFlags::WRITE).map(scribble));
    if let Ok(start) = map(fd, ProtFlags::READ) {
        // SAFETY: the mapping that was just made; nobody else knows it.
        let protect = unsafe { rustix::mm::mprotect(start, bytes, MprotectFlags::READ | MprotectFlags::WRITE) };
        attempt("mprotect", protect.map(|()| scribble(start)));
        // SAFETY: as above.
        attempt("madvise", unsafe { rustix::mm::madvise(start, bytes, Advice::LinuxRemove) });
    } else {
        return "it could not even read".to_owned();
    }
    attempt("pwrite", rustix::io::pwrite(fd, &[0xee; 64], 4096).map(drop));
    attempt("shrink", rustix::fs::ftruncate(fd, 0));
    attempt("grow", rustix::fs::ftruncate(fd, 2 * bytes as u64));
    attempt("punch", rustix::fs::fallocate(fd, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, bytes as u64));
    attempt("seal", rustix::fs::fcntl_add_seals(fd, SealFlags::WRITE));
    if let Ok(again) = rustix::fs::open(format!("/proc/self/fd/{}", fd.as_raw_fd()), OFlags::RDWR, Mode::empty()) {
        attempt("map again", map(&again, ProtFlags::READ | ProtFlags::WRITE).map(scribble));
        attempt("pwrite again", rustix::io::pwrite(again.as_fd(), &[0xee; 64], 4096).map(drop));
    }
    if done.is_empty() { "it could write nothing".to_owned() } else { format!("it could {}", done.join(", ")) }
}

/// A video process whose worker is stuck; it waits to be killed.
fn parent() -> ! {
    let wake = Arc::new(Wake::default());
    let spawn = Spawn { program: std::env::current_exe().expect("Linux tells"), args: vec!["stuck".into()] };
    let _worker = Worker::start(spawn, &Settings::default(), Hello::default(), Arc::new(MonotonicClock), wake.clone()).expect("it starts");
    loop {
        wake.wait(Duration::from_secs(60));
    }
}

/// Says that it loads, and never comes to an end.
fn stuck() -> ! {
    eprintln!("loading");
    loop {
        std::thread::park();
    }
}
