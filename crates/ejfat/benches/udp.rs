//! What load balancer, sender and receiver cost in CPU time, beside a plain loop over UDP with the same system calls.
//!
//! `cargo bench -p ejfat`, with seconds for each try as argument. CPU times are those of threads, by name.

use ejfat::{
    Balancing, Epoch, Limits, Member, Pacing, Receiver, ReceiverOptions, Sender, SenderOptions, Tables, Version,
};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{IoSlice, IoSliceMut},
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TRIES: usize = 5;
const SECONDS: u64 = 10;
const MTU: u16 = 9000;
const RATE: u64 = 1_000_000_000;
const EVENT_BYTES: usize = 89_360;
const BATCH: usize = 64;
const TICKS_PER_S: f64 = 100.0;

fn main() {
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(SECONDS);
    let length = Duration::from_secs(seconds);
    let balancer = (0..TRIES).filter_map(|_| through_balancer(length)).fold(0.0, f64::max);
    println!("load balancer: {balancer:.2} Gbit for each second of its CPU time, best of {TRIES} tries without a drop");
    let (plain_send, plain_receive) = plain(length);
    let (send, receive) = direct(length);
    println!("sender: {send:.2} ns a byte, plain loop {plain_send:.2}: {:.2} times", send / plain_send);
    println!("receiver: {receive:.2} ns a byte, plain loop {plain_receive:.2}: {:.2} times", receive / plain_receive);
}

fn sender(to: SocketAddr) -> Sender {
    Sender::open(&SenderOptions {
        to,
        sockets: 4,
        mtu: MTU,
        version: Version::V3,
        data_id: 0,
        buffer_bytes: 4 << 20,
        pacing: Pacing::Event(RATE),
        offload: false,
    })
    .expect("it opens")
}

fn receiver(lb_header: bool) -> Receiver {
    let options = ReceiverOptions {
        ip: LOOPBACK,
        first_port: 0,
        port_bits: 0,
        buffer_bytes: 4 << 20,
        limits: Limits::default(),
        lb_header,
    };
    Receiver::start(&options, |_| true).expect("it starts")
}

/// Sends events. Returns their bytes, and the sender's CPU time.
fn stream(to: SocketAddr, length: Duration) -> (f64, f64) {
    let sending = thread::spawn(move || {
        let (mut sender, body) = (sender(to), vec![7; EVENT_BYTES]);
        let (started, mut events) = (Instant::now(), 0);
        while started.elapsed() < length {
            sender.send(events, events, &[], &body).expect("it is not too long");
            events += 1;
        }
        (events as f64 * EVENT_BYTES as f64, own_cpu_s())
    });
    sending.join().expect("it does not panic")
}

/// Gbit for each second of CPU; `None` if anything was dropped.
fn through_balancer(length: Duration) -> Option<f64> {
    let receiver = receiver(false);
    let balancing = Balancing::start(&[SocketAddr::new(LOOPBACK, 0)], 1, 8 << 20).expect("it starts");
    let at = receiver.address();
    let member = Member { ip: at.ip(), port: at.port(), port_bits: 0, keep_lb_header: false, left: false };
    balancing.replace(Arc::new(Tables {
        version: 1,
        senders: HashSet::from([LOOPBACK]),
        epochs: vec![Epoch { first_tick: 0, calendar: Arc::new([0; 512]) }],
        members: HashMap::from([(0, member)]),
    }));
    stream(balancing.addresses()[0], length);
    let cpu_s = cpu_s("balance");
    let counts = balancing.finish();
    let gbit = counts.passed_bytes as f64 * 8.0 / 1e9;
    println!("load balancer: {gbit:.2} Gbit in {cpu_s:.2} s of CPU, {}", counts.json());
    (counts.passed == counts.received && counts.kernel_drops == Some(0)).then_some(gbit / cpu_s)
}

/// Nanoseconds of CPU for each byte that was sent, of sender and receiver.
fn direct(length: Duration) -> (f64, f64) {
    let receiver = receiver(true);
    let (bytes, sender_s) = stream(receiver.address(), length);
    let received = receiver.counts().packets.bytes as f64;
    (sender_s * 1e9 / bytes, cpu_s("ejfat-port") * 1e9 / received)
}

/// The same for loops that do nothing but the system calls.
fn plain(length: Duration) -> (f64, f64) {
    let receiving = UdpSocket::bind(SocketAddr::new(LOOPBACK, 0)).expect("a port is free");
    receiving.set_read_timeout(Some(Duration::from_millis(100))).expect("it can be set");
    nix::sys::socket::setsockopt(&receiving, nix::sys::socket::sockopt::RcvBuf, &(4 << 20)).expect("it can be set");
    let to = receiving.local_addr().expect("it is bound");
    let ended = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&ended);
    let receiver = thread::spawn(move || plain_receive(&receiving, &until));
    let sent = thread::spawn(move || plain_send(to, length)).join().expect("it does not panic");
    ended.store(true, Relaxed);
    (sent, receiver.join().expect("it does not panic"))
}

fn plain_send(to: SocketAddr, length: Duration) -> f64 {
    let socket = UdpSocket::bind(SocketAddr::new(LOOPBACK, 0)).expect("a port is free");
    socket.connect(to).expect("it is there");
    let packet = vec![7; usize::from(MTU) - 28];
    let packets = [[IoSlice::new(&packet)]; 10];
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(packets.len(), None);
    let (started, mut bytes) = (Instant::now(), 0.0);
    while started.elapsed() < length {
        let sent = sendmmsg(socket.as_raw_fd(), &mut headers, &packets, [None; 10], [], MsgFlags::empty());
        bytes += sent.map_or(0, Iterator::count) as f64 * packet.len() as f64;
        let due = Duration::from_secs_f64(bytes * 8.0 / RATE as f64);
        thread::sleep(due.saturating_sub(started.elapsed()));
    }
    own_cpu_s() * 1e9 / bytes
}

fn plain_receive(socket: &UdpSocket, ended: &AtomicBool) -> f64 {
    let mut room = vec![0; BATCH * 9216];
    let (mut headers, mut bytes) = (MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None), 0);
    while !ended.load(Relaxed) {
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            room.chunks_mut(9216).map(|chunk| [IoSliceMut::new(chunk)]).collect();
        let flags = MsgFlags::MSG_WAITFORONE;
        if let Ok(packets) = recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), flags, None) {
            bytes += packets.map(|packet| packet.bytes).sum::<usize>();
        }
    }
    own_cpu_s() * 1e9 / bytes as f64
}

fn own_cpu_s() -> f64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).expect("there is one");
    Duration::from(time).as_secs_f64()
}

/// CPU time of the running threads of this name.
fn cpu_s(name: &str) -> f64 {
    let threads = fs::read_dir("/proc/self/task").expect("it is there").flatten();
    let stats = threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    let of_name = stats.filter_map(|stat| {
        stat.rsplit_once(") ").filter(|(before, _)| before.ends_with(name)).map(|(_, after)| {
            after.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>()
        })
    });
    of_name.sum::<f64>() / TICKS_PER_S
}
