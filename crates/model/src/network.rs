//! The network of parts that packets pass: stations that work, pipes that hold a limited amount, and waits.
//!
//! A *station* is anything that several have to share: the cores of a host, one direction of a link. Work waits in *lanes*,
//! each first in, first out: a lane is a thread on cores, or a connection on a link. A station serves its lanes in turn, one
//! packet at a time, and a lane is never served twice at the same time, so packets of one connection stay in order. A station
//! may also be served by shares that are drawn ([`Ready`]), as connections of TCP have them of a full link.
//!
//! In front of a link there is a queue, first in, first out: what lanes have put into it waits for what was there before,
//! whoever sent it, so that small packets wait too where large ones keep it full.
//!
//! A *pipe* is one direction of a connection: what its sockets and the way between them hold. A packet enters it if there is
//! room, otherwise it waits in front of it and holds what it holds; so a slow part stops those before it.

mod quota;
mod ready;

use crate::{agenda::Agenda, draws::Draws};
use quota::Quota;
use ready::Ready;
use std::collections::VecDeque;

/// A station, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Station(u32);

/// A pause of a station once more than so many bytes wait for it. It comes once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// More than these.
    pub queue_bytes: u64,
    /// How long it lasts, in nanoseconds.
    pub ns: u64,
}

/// A lane, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane(u32);

/// A pipe, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pipe(u32);

/// A path, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path(u32);

/// What a station's work on a packet takes, on one server.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// For each message, with its first packet.
    pub message_ns: f64,
    /// For each packet.
    pub packet_ns: f64,
    /// For each byte.
    pub byte_ns: f64,
}

impl Cost {
    /// Both one after the other.
    pub fn and(self, other: Self) -> Self {
        Self {
            message_ns: self.message_ns + other.message_ns,
            packet_ns: self.packet_ns + other.packet_ns,
            byte_ns: self.byte_ns + other.byte_ns,
        }
    }
}

/// What a pipe's limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Messages, each with its first packet.
    Messages,
}

/// One step of a path.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// Waits in the lane for its station's work.
    Work(Lane, Cost),
    /// Takes this long, however many packets do.
    Wait(u64),
    /// Takes room in a pipe, when there is some.
    Enter(Pipe, Unit),
    /// Gives the room back; the sender learns of it so many nanoseconds later.
    Leave(Pipe, Unit, u64),
    /// Reports the last packet of a message.
    Mark,
    /// Reports the message as arrived.
    End,
}

/// What the network reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening<C> {
    /// The last packet of a message is at the end of its path.
    Arrived(C),
    /// The last packet of a message has passed the mark of its path.
    Marked(C),
    /// A time has come.
    Rang(C),
}

#[derive(Debug, Clone, Copy)]
struct Packet<C> {
    step: u32,
    bytes: u32,
    first: bool,
    last: bool,
    cargo: C,
}

#[derive(Debug)]
enum Event<C> {
    /// A station has done the work of a lane on a packet.
    Done(Lane, Packet<C>),
    /// A packet has waited.
    Waited(Packet<C>),
    /// Room in a pipe is known to be free.
    Freed(Pipe, u64),
    /// A packet has left the queue of a link.
    Left(Station, Packet<C>),
    /// The queue of a link has room.
    Drained(Station),
    /// A station's pause is over.
    Resumed(Station),
    Rang(C),
}

#[derive(Debug)]
struct StationState {
    name: String,
    idle: u32,
    servers: f64,
    quota: Option<Quota>,
    ready: Ready,
    line: Option<Line>,
    /// The pause that is to come.
    stall: Option<Stall>,
    pauses: bool,
    /// Bytes that wait for it or that it works on.
    waiting_bytes: u64,
    busy_ns: u64,
    bytes: u64,
}

/// The queue in front of a link.
#[derive(Debug)]
struct Line {
    /// As much as passes in this time.
    room_ns: u64,
    /// When all of it will have passed.
    ends_ns: u64,
    /// Whether it is looked at again when it has room.
    is_watched: bool,
}

#[derive(Debug)]
struct LaneState<C> {
    station: Station,
    name: Option<String>,
    queue: VecDeque<(Packet<C>, u64)>,
    /// Whether it is served or waits to be.
    listed: bool,
    busy_ns: u64,
}

#[derive(Debug)]
struct PipeState<C> {
    room: u64,
    used: u64,
    waiting: VecDeque<(Packet<C>, u64)>,
}

/// How busy a part was.
#[derive(Debug, Clone, PartialEq)]
pub struct Busy {
    /// Its name.
    pub name: String,
    /// Nanoseconds of work, over all its servers.
    pub busy_ns: u64,
    /// Servers that work at the same time, or fewer where a quota limits them.
    pub servers: f64,
}

/// The whole network, with packets that carry a `C`.
#[derive(Debug)]
pub struct Network<C> {
    agenda: Agenda<Event<C>>,
    stations: Vec<StationState>,
    lanes: Vec<LaneState<C>>,
    pipes: Vec<PipeState<C>>,
    steps: Vec<Step>,
    /// Packets that go on now.
    moving: VecDeque<Packet<C>>,
    happened: VecDeque<Happening<C>>,
    /// Largest packet in bytes.
    packet_bytes: u32,
}

impl<C: Copy> Network<C> {
    /// An empty network that sends packets of at most `packet_bytes`.
    pub fn new(packet_bytes: u32) -> Self {
        Self {
            agenda: Agenda::new(),
            stations: Vec::new(),
            lanes: Vec::new(),
            pipes: Vec::new(),
            steps: Vec::new(),
            moving: VecDeque::new(),
            happened: VecDeque::new(),
            packet_bytes: packet_bytes.max(1),
        }
    }

    /// A station that works on `servers` packets at the same time.
    pub fn station(&mut self, name: String, servers: u32) -> Station {
        let idle = servers.max(1);
        let (servers, ready) = (f64::from(idle), Ready::turns());
        let (stall, pauses, waiting_bytes) = (None, false, 0);
        let state = StationState {
            name,
            idle,
            servers,
            quota: None,
            ready,
            line: None,
            stall,
            pauses,
            waiting_bytes,
            busy_ns: 0,
            bytes: 0,
        };
        self.stations.push(state);
        Station(self.stations.len() as u32 - 1)
    }

    /// A station that may use so many of its `servers` on average, and stands still when it has.
    pub fn limited(&mut self, name: String, servers: u32, cores: f64) -> Station {
        let station = self.station(name, servers);
        let state = &mut self.stations[station.0 as usize];
        (state.quota, state.servers) = (Some(Quota::new(cores)), state.servers.min(cores));
        station
    }

    /// One direction of a link, of which connections have drawn shares, each for so many bytes.
    pub fn link(&mut self, name: String, draws: Draws, kept_bytes: u64) -> Station {
        let station = self.station(name, 1);
        self.stations[station.0 as usize].ready = Ready::shares(draws, kept_bytes);
        station
    }

    /// Puts a queue in front of a station with one server: it holds what passes in so many nanoseconds.
    pub fn queues_up(&mut self, station: Station, room_ns: u64) {
        self.stations[station.0 as usize].line = Some(Line { room_ns, ends_ns: 0, is_watched: false });
    }

    /// Has a station pause once.
    pub fn stalls(&mut self, station: Station, stall: Option<Stall>) {
        self.stations[station.0 as usize].stall = stall;
    }

    /// A lane of a station. One with a name is reported by [`Self::busy`].
    pub fn lane(&mut self, station: Station, name: Option<String>) -> Lane {
        self.lanes.push(LaneState { station, name, queue: VecDeque::new(), listed: false, busy_ns: 0 });
        Lane(self.lanes.len() as u32 - 1)
    }

    /// A pipe with so much room.
    pub fn pipe(&mut self, room: u64) -> Pipe {
        self.pipes.push(PipeState { room: room.max(1), used: 0, waiting: VecDeque::new() });
        Pipe(self.pipes.len() as u32 - 1)
    }

    /// Gives a pipe other room.
    pub fn resize(&mut self, pipe: Pipe, room: u64) {
        self.pipes[pipe.0 as usize].room = room.max(1);
    }

    /// A path of these steps.
    pub fn path(&mut self, steps: impl IntoIterator<Item = Step>) -> Path {
        let path = Path(self.steps.len() as u32);
        self.steps.extend(steps);
        self.steps.push(Step::End);
        path
    }

    /// The time.
    pub fn now_ns(&self) -> u64 {
        self.agenda.now_ns()
    }

    /// Number of events so far and to come.
    pub fn events(&self) -> u64 {
        self.agenda.entered()
    }

    /// Sends a message along a path, in as many packets as it needs.
    pub fn send(&mut self, path: Path, bytes: u64, cargo: C) {
        let largest = u64::from(self.packet_bytes);
        let packets = bytes.div_ceil(largest).max(1);
        for number in 0..packets {
            let bytes = if number + 1 == packets { bytes - number * largest } else { largest } as u32;
            let (first, last) = (number == 0, number + 1 == packets);
            self.moving.push_back(Packet { step: path.0, bytes, first, last, cargo });
        }
    }

    /// Reports `cargo` after some time.
    pub fn ring(&mut self, after_ns: u64, cargo: C) {
        self.agenda.after(after_ns, Event::Rang(cargo));
    }

    /// Gives room in a pipe back.
    pub fn free(&mut self, pipe: Pipe, amount: u64) {
        let state = &mut self.pipes[pipe.0 as usize];
        state.used -= amount;
        while let Some((packet, amount)) = state.waiting.front().copied() {
            // What is larger than the whole pipe enters an empty one.
            if state.used > 0 && state.used + amount > state.room {
                break;
            }
            state.used += amount;
            state.waiting.pop_front();
            self.moving.push_back(packet);
        }
    }

    /// What happens next; `None` if nothing ever will.
    pub fn next(&mut self) -> Option<Happening<C>> {
        loop {
            if let Some(happening) = self.happened.pop_front() {
                return Some(happening);
            }
            if let Some(packet) = self.moving.pop_front() {
                self.go_on(packet);
                continue;
            }
            match self.agenda.next()? {
                Event::Done(lane, packet) => self.done(lane, packet),
                Event::Waited(packet) => self.moving.push_back(packet),
                Event::Freed(pipe, amount) => self.free(pipe, amount),
                Event::Left(station, packet) => {
                    self.stations[station.0 as usize].waiting_bytes -= u64::from(packet.bytes);
                    self.moving.push_back(packet);
                }
                Event::Drained(station) => {
                    if let Some(line) = &mut self.stations[station.0 as usize].line {
                        line.is_watched = false;
                    }
                    self.serve(station);
                }
                Event::Resumed(station) => {
                    self.stations[station.0 as usize].pauses = false;
                    self.serve(station);
                }
                Event::Rang(cargo) => self.happened.push_back(Happening::Rang(cargo)),
            }
        }
    }

    /// Bytes of all packets that a station has worked on or has to.
    pub fn bytes(&self, station: Station) -> u64 {
        self.stations[station.0 as usize].bytes
    }

    /// How busy stations and named lanes were so far.
    pub fn busy(&self) -> Vec<Busy> {
        let stations = self.stations.iter();
        let stations = stations.map(|one| Busy { name: one.name.clone(), busy_ns: one.busy_ns, servers: one.servers });
        let named = |lane: &LaneState<C>| Some(Busy { name: lane.name.clone()?, busy_ns: lane.busy_ns, servers: 1.0 });
        stations.chain(self.lanes.iter().filter_map(named)).collect()
    }

    /// Takes a packet through the steps that take no time.
    fn go_on(&mut self, mut packet: Packet<C>) {
        loop {
            let step = self.steps[packet.step as usize];
            packet.step += 1;
            match step {
                Step::Work(lane, cost) => return self.queue(lane, packet, cost),
                Step::Wait(0) => {}
                Step::Wait(ns) => return self.agenda.after(ns, Event::Waited(packet)),
                Step::Enter(pipe, unit) => {
                    let amount = amount(&packet, unit);
                    let state = &mut self.pipes[pipe.0 as usize];
                    let full = state.used > 0 && state.used + amount > state.room;
                    if full || !state.waiting.is_empty() {
                        return state.waiting.push_back((packet, amount));
                    }
                    state.used += amount;
                }
                Step::Leave(pipe, unit, 0) => self.free(pipe, amount(&packet, unit)),
                Step::Leave(pipe, unit, ns) => self.agenda.after(ns, Event::Freed(pipe, amount(&packet, unit))),
                Step::Mark if packet.last => self.happened.push_back(Happening::Marked(packet.cargo)),
                Step::Mark => {}
                Step::End => {
                    if packet.last {
                        self.happened.push_back(Happening::Arrived(packet.cargo));
                    }
                    return;
                }
            }
        }
    }

    fn queue(&mut self, lane: Lane, packet: Packet<C>, cost: Cost) {
        let state = &mut self.lanes[lane.0 as usize];
        let station = &mut self.stations[state.station.0 as usize];
        let message_ns = if packet.first { cost.message_ns } else { 0.0 };
        let work_ns = message_ns + cost.packet_ns + cost.byte_ns * f64::from(packet.bytes);
        station.bytes += u64::from(packet.bytes);
        station.waiting_bytes += u64::from(packet.bytes);
        if let Some(stall) = station.stall.take_if(|stall| station.waiting_bytes > stall.queue_bytes) {
            station.pauses = true;
            self.agenda.after(stall.ns, Event::Resumed(state.station));
        }
        state.queue.push_back((packet, work_ns.round() as u64));
        if !std::mem::replace(&mut state.listed, true) {
            station.ready.begins(lane);
            self.serve(self.lanes[lane.0 as usize].station);
        }
    }

    fn serve(&mut self, station: Station) {
        let state = &mut self.stations[station.0 as usize];
        if state.line.is_some() {
            return self.line_up(station);
        }
        while state.idle > 0
            && !state.pauses
            && let Some(lane) = state.ready.next()
        {
            let served = &mut self.lanes[lane.0 as usize];
            let (packet, work_ns) = served.queue.pop_front().expect("a lane is listed with work");
            state.ready.served(lane, work_ns, packet.bytes);
            state.idle -= 1;
            let taken_ns = state.quota.as_mut().map_or(work_ns, |quota| quota.take(self.agenda.now_ns(), work_ns));
            state.busy_ns += work_ns;
            served.busy_ns += work_ns;
            self.agenda.after(taken_ns, Event::Done(lane, packet));
        }
    }

    /// Puts packets of lanes into the queue of a link as long as it has room.
    fn line_up(&mut self, station: Station) {
        let now_ns = self.agenda.now_ns();
        let state = &mut self.stations[station.0 as usize];
        let Some(line) = &mut state.line else { return };
        while !state.pauses && !state.ready.is_empty() {
            let full_ns = line.ends_ns.saturating_sub(now_ns).saturating_sub(line.room_ns);
            if full_ns > 0 {
                if !std::mem::replace(&mut line.is_watched, true) {
                    self.agenda.after(full_ns, Event::Drained(station));
                }
                return;
            }
            let Some(lane) = state.ready.next() else { return };
            let served = &mut self.lanes[lane.0 as usize];
            let (packet, work_ns) = served.queue.pop_front().expect("a lane is listed with work");
            state.ready.served(lane, work_ns, packet.bytes);
            state.busy_ns += work_ns;
            served.busy_ns += work_ns;
            served.listed = !served.queue.is_empty();
            if served.listed {
                state.ready.goes_on(lane);
            }
            line.ends_ns = line.ends_ns.max(now_ns) + work_ns;
            self.agenda.after(line.ends_ns - now_ns, Event::Left(station, packet));
        }
    }

    fn done(&mut self, lane: Lane, packet: Packet<C>) {
        let state = &mut self.lanes[lane.0 as usize];
        let station = &mut self.stations[state.station.0 as usize];
        station.idle += 1;
        station.waiting_bytes -= u64::from(packet.bytes);
        state.listed = !state.queue.is_empty();
        if state.listed {
            station.ready.goes_on(lane);
        }
        let station = state.station;
        self.serve(station);
        self.moving.push_back(packet);
    }
}

fn amount<C>(packet: &Packet<C>, unit: Unit) -> u64 {
    match unit {
        Unit::Bytes => u64::from(packet.bytes),
        Unit::Messages => u64::from(packet.first),
    }
}

#[cfg(test)]
mod tests;
