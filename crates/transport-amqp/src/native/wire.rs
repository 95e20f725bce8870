//! One connection of the light client: the network on one side, lapin and the workers on the other.

use super::{frames, frames::Template, incoming::Incoming, lane::Lane, outgoing::Outgoing, pool::Body};
use crate::{
    guard::{FRAME_HEAD_BYTES, Guard, HEARTBEAT, Violation},
    line::{Line, Passed},
    socket::{Connected, Greeting},
};
use engine::{
    envelope::EnvelopeText,
    ports::{Delivery, Outcome},
};
use futures_io::{AsyncRead, AsyncWrite};
use lapin::{ChannelState, Error, ErrorKind, protocol::AMQPError};
use profile::Mark;
use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, DuplexStream, ReadBuf},
    sync::mpsc::UnboundedSender,
    time::sleep,
};

/// More than lapin has to say at once.
const LAPIN_BYTES: usize = 64 << 10;
const LAPIN_READ_BYTES: usize = 4 << 10;
/// How much is read before workers handle what has arrived, while it is in the processor's cache.
const TURN_BYTES: usize = 128 << 10;
/// Smaller messages that are published in one turn of their worker are written together.
const WRITE_BYTES: usize = 24 << 10;
/// More than lapin leaves unread for long: what else arrives waits in the network.
const RARE_BYTES_MAX: usize = 4 << 20;
/// How often lapin learns that the service is alive, when all that arrives goes to workers.
const LIVENESS: Duration = Duration::from_secs(1);
/// The end of a connection is reported this much later than its reason.
const REASON_FIRST: Duration = Duration::from_millis(50);
const TAKE_OVER_POLL: Duration = Duration::from_millis(1);
const HEARTBEAT_FRAME: &[u8] = &[HEARTBEAT, 0, 0, 0, 0, 0, 0, 0xce];

/// A connection, shared by its driver and the workers that use it. All of them run on one thread.
pub(crate) struct Wire(Mutex<State>);

struct State {
    stream: Connected,
    /// None once the connection is over.
    lapin: Option<DuplexStream>,
    from_lapin: Vec<u8>,
    rare: Rare,
    lapin_heard: Instant,
    reading: Reading,
    frame_max: usize,
    outgoing: Outgoing,
    lanes: Vec<Lane>,
    passed: Arc<Passed>,
    driver: Waker,
    line: Option<Arc<Line>>,
    ended: Option<Error>,
}

/// What arrives for lapin.
struct Rare {
    guard: Guard,
    bytes: Vec<u8>,
    reasons: UnboundedSender<AMQPError>,
}

impl Rare {
    fn is_full(&self) -> bool {
        self.bytes.len() >= RARE_BYTES_MAX
    }

    /// Passes `bytes` on; true if the service closes a channel or the connection with them.
    fn pass(&mut self, bytes: &mut [u8]) -> Result<bool, Violation> {
        let passing = self.guard.look(bytes)?;
        self.bytes.extend(&bytes[..passing]);
        let mut closes = false;
        for (code, words) in self.guard.closed() {
            closes = true;
            // Codes that are not errors mean a regular close. The receiver is gone if the login was given up.
            let _ = AMQPError::from_id(code, words.into()).map(|reason| self.reasons.send(reason));
        }
        Ok(closes)
    }
}

/// Who reads.
enum Reading {
    /// lapin reads everything until it has logged in.
    Lapin {
        greeting: Option<Greeting>,
        buffer: Vec<u8>,
        hand_over: bool,
    },
    Here(Incoming),
}

/// A message to publish.
pub(crate) struct Parcel {
    pub channel: u16,
    pub template: Arc<Template>,
    pub key: Arc<str>,
    pub envelope: EnvelopeText,
    pub message_id: Option<u32>,
    pub body: Vec<u8>,
    pub confirm: bool,
}

impl Wire {
    /// Starts to carry a connection on which nothing was sent. Returns lapin's end of it.
    pub(crate) fn start(
        stream: Connected,
        greeting: Greeting,
        frame_max: u32,
        passed: Arc<Passed>,
        reasons: UnboundedSender<AMQPError>,
    ) -> (Arc<Self>, DuplexStream) {
        let (ours, lapin) = tokio::io::duplex(LAPIN_BYTES);
        let frame_max_bytes = frame_max as usize;
        let wire = Arc::new(Self(Mutex::new(State {
            stream,
            lapin: Some(ours),
            from_lapin: Vec::new(),
            rare: Rare { guard: Guard::new(frame_max), bytes: Vec::new(), reasons },
            lapin_heard: Instant::now(),
            reading: Reading::Lapin { greeting: Some(greeting), buffer: vec![0; frame_max_bytes], hand_over: false },
            frame_max: frame_max_bytes,
            outgoing: Outgoing::default(),
            lanes: Vec::new(),
            passed,
            driver: Waker::noop().clone(),
            line: None,
            ended: None,
        })));
        let driven = wire.clone();
        tokio::spawn(driven.drive());
        (wire, lapin)
    }

    /// Reads messages here from now on: lapin has logged in.
    pub(crate) async fn take_over(&self) -> Result<(), Error> {
        loop {
            {
                let mut state = self.state();
                if let Some(error) = &state.ended {
                    return Err(error.clone());
                }
                state.hand_over();
                if let Reading::Here(_) = &state.reading {
                    return Ok(());
                }
            }
            // A frame is half read.
            sleep(TAKE_OVER_POLL).await;
        }
    }

    /// Why the connection is over, if it is.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.state().ended.clone()
    }

    /// Moves bytes until the connection is over, and then reports why, after the service's own reason.
    async fn drive(self: Arc<Self>) {
        poll_fn(|cx| self.state().poll_drive(cx)).await;
        sleep(REASON_FIRST).await;
        let mut state = self.state();
        if let (Some(line), Some(error)) = (&state.line, &state.ended) {
            line.broken(error);
        }
        state.lapin = None;
    }

    /// Reports the end of the connection to `line`.
    pub(crate) fn report_to(&self, line: Arc<Line>) {
        self.state().line = Some(line);
    }

    /// Drops what arrives on this channel: nobody takes it any more.
    pub(crate) fn discard(&self, channel: u16) {
        let mut state = self.state();
        state.lane(channel).into_iter().for_each(Lane::discard);
        state.driver.wake_by_ref();
    }

    /// Messages and confirms of this channel are handled here.
    /// With `acks` the prefetch limits how many deliveries wait.
    pub(crate) fn open_lane(&self, channel: u16, acks: bool, wanted: Option<Mark>) {
        let (mut state, lane) = (self.state(), Lane::new(channel, acks).reading(wanted));
        match state.lane(channel) {
            // In place: the position of a lane does not change.
            Some(old) => *old = lane,
            None => state.lanes.push(lane),
        }
    }

    /// The next delivery on a channel; an error once there is none any more.
    pub(crate) fn poll_delivery(&self, channel: u16, cx: &Context<'_>) -> Poll<Result<Delivery<Body>, Error>> {
        let mut state = self.state();
        let was_full = state.is_full();
        let Some(lane) = state.lane(channel) else { return Poll::Pending };
        let (delivery, closed_lane) = (lane.poll_delivery(cx), lane.closed);
        if was_full && !state.is_full() {
            state.driver.wake_by_ref();
        }
        match delivery {
            Poll::Pending if closed_lane => Poll::Ready(Err(closed())),
            delivery => delivery.map(Ok),
        }
    }

    /// Acknowledges a delivery, and with `multiple` all before it. An error if the channel is closed: RabbitMQ ends the
    /// connection at a frame for a closed channel.
    pub(crate) fn ack(&self, channel: u16, tag: u64, multiple: bool) -> Result<(), Error> {
        let mut state = self.state();
        state.lane(channel).filter(|lane| !lane.closed).ok_or_else(closed)?;
        frames::ack(state.outgoing.frames(), channel, tag, multiple);
        // Acknowledgements of one turn are written together.
        state.driver.wake_by_ref();
        Ok(())
    }

    /// Publishes a message, once the future is polled.
    pub(crate) fn send(self: &Arc<Self>, parcel: Parcel) -> Sent {
        Sent { wire: self.clone(), step: Step::Parcel(parcel) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For workers whose channel is closed or whose connection is over. The reason is reported to the connection's line.
fn closed() -> Error {
    ErrorKind::InvalidChannelState(ChannelState::Closed, "used").into()
}

impl State {
    fn lane(&mut self, channel: u16) -> Option<&mut Lane> {
        self.lanes.iter_mut().find(|lane| lane.channel == channel)
    }

    fn is_full(&self) -> bool {
        self.lanes.iter().any(Lane::is_full)
    }

    /// Moves bytes until nothing can be moved, or for long enough; ready when the connection is over.
    fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.driver.clone_from(cx.waker());
        if self.ended.is_none() {
            match self.drive(cx) {
                Ok(()) => return Poll::Pending,
                Err(error) => self.end(error),
            }
        }
        Poll::Ready(())
    }

    fn drive(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.hear_lapin(cx)?;
        self.try_write()?;
        self.read(cx)?;
        self.tell_lapin(cx)
    }

    fn end(&mut self, error: io::Error) {
        // The last bytes may hold the reason.
        let driver = self.driver.clone();
        let _ = self.tell_lapin(&mut Context::from_waker(&driver));
        if let Reading::Lapin { greeting: Some(greeting), .. } = &self.reading {
            greeting.ended(&error);
            // lapin waits for a reply until it sees the end.
            self.lapin = None;
        }
        self.passed.end();
        self.ended.get_or_insert_with(|| error.into());
        self.outgoing.give_up();
        self.lanes.iter_mut().for_each(Lane::close);
        self.driver.wake_by_ref();
    }

    /// Takes whole frames from lapin.
    fn hear_lapin(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(lapin) = &mut self.lapin else { return Ok(()) };
        let mut left = false;
        while !left {
            let mut bytes = [MaybeUninit::uninit(); LAPIN_READ_BYTES];
            let mut buf = ReadBuf::uninit(&mut bytes);
            let Poll::Ready(read) = Pin::new(&mut *lapin).poll_read(cx, &mut buf) else { break };
            read?;
            left = buf.filled().is_empty();
            self.from_lapin.extend(buf.filled());
        }
        if let Reading::Lapin { .. } = &self.reading
            && !self.from_lapin.is_empty()
        {
            self.outgoing.frames().append(&mut self.from_lapin);
        }
        while let Some(size) = self.from_lapin.get(3..FRAME_HEAD_BYTES) {
            let size = u32::from_be_bytes(size.try_into().expect("four bytes were taken")) as usize;
            let total = FRAME_HEAD_BYTES + size + 1;
            if self.from_lapin.len() < total {
                break;
            }
            self.outgoing.frames().extend(self.from_lapin.drain(..total));
        }
        if left {
            // Its farewell comes first.
            self.try_write()?;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }

    /// Gives lapin what is not ours.
    fn tell_lapin(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(lapin) = &mut self.lapin else { return Ok(()) };
        let was_full = self.rare.is_full();
        while !self.rare.bytes.is_empty() {
            let Poll::Ready(written) = Pin::new(&mut *lapin).poll_write(cx, &self.rare.bytes) else { break };
            self.rare.bytes.drain(..written?);
            self.lapin_heard = Instant::now();
        }
        if was_full && !self.rare.is_full() {
            // Reading goes on.
            cx.waker().wake_by_ref();
        }
        Ok(())
    }

    /// Writes what waits, as far as the network takes it.
    fn write(&mut self) {
        if let Err(error) = self.try_write() {
            self.end(error);
        }
    }

    fn try_write(&mut self) -> io::Result<()> {
        let driver = self.driver.clone();
        let mut cx = Context::from_waker(&driver);
        let written = self.write_with(&mut cx);
        if written.is_err() {
            // What arrived before may hold the reason.
            let _ = self.read(&mut cx);
        }
        written
    }

    fn write_with(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut moved = false;
        while !self.outgoing.is_empty() {
            let slices = self.outgoing.slices();
            let written = Pin::new(&mut self.stream).poll_write_vectored(cx, &slices.slices[..slices.count]);
            match written {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => self.outgoing.advance(written?),
            }
            moved = true;
        }
        if moved {
            self.passed.note();
        }
        // TLS may hold back what it took.
        if let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_flush(cx) {
            return Err(error);
        }
        Ok(())
    }

    fn read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut turn = 0;
        loop {
            let unaware = self.lapin_heard.elapsed() >= LIVENESS && self.rare.bytes.is_empty();
            let Self { stream, lanes, reading, rare, .. } = self;
            let full = rare.is_full() || lanes.iter().any(Lane::is_full);
            let bytes = match reading {
                Reading::Here(incoming) => {
                    let read = if full { Poll::Pending } else { incoming.poll_read(&mut *stream, lanes, cx) };
                    // The service sends lapin nothing while it sends messages, and lapin would take it for dead.
                    if unaware && (full || read.is_ready()) {
                        rare.bytes.extend(HEARTBEAT_FRAME);
                    }
                    let Poll::Ready(bytes) = read else { return Ok(()) };
                    let bytes = bytes?;
                    let pass = |lanes: &mut [Lane], frame: &mut [u8]| {
                        let channel = u16::from_be_bytes([frame[1], frame[2]]);
                        if rare.pass(frame)? {
                            let closed = |lane: &&mut Lane| channel == 0 || lane.channel == channel;
                            lanes.iter_mut().filter(closed).for_each(Lane::close);
                        }
                        Ok(())
                    };
                    incoming.handle(lanes, pass).map_err(invalid)?;
                    bytes
                }
                Reading::Lapin { greeting, buffer, .. } => {
                    let kept = rare.guard.held().len();
                    buffer[..kept].copy_from_slice(rare.guard.held());
                    let room = &mut buffer[kept..];
                    let Poll::Ready(bytes) = Pin::new(&mut *stream).poll_read(cx, room) else { return Ok(()) };
                    let bytes = bytes?;
                    greeting.take_if(|greeting| !greeting.keep(&buffer[kept..kept + bytes]));
                    rare.pass(&mut buffer[..kept + bytes]).map_err(invalid)?;
                    bytes
                }
            };
            if bytes == 0 {
                // lapin reports the same error.
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            self.passed.note();
            self.hand_over_if_wanted();
            turn += bytes;
            if turn >= TURN_BYTES && self.lanes.iter().any(Lane::is_waiting) {
                cx.waker().wake_by_ref();
                return Ok(());
            }
        }
    }

    /// Takes the reading over from lapin, at the end of a frame.
    fn hand_over(&mut self) {
        if let Reading::Lapin { hand_over, .. } = &mut self.reading {
            *hand_over = true;
        }
        self.hand_over_if_wanted();
    }

    fn hand_over_if_wanted(&mut self) {
        if let Reading::Lapin { hand_over: true, .. } = &self.reading
            && self.rare.guard.is_between_frames()
        {
            let agreed = self.rare.guard.frame_max();
            self.frame_max = agreed as usize;
            self.reading = Reading::Here(Incoming::new(self.rare.guard.held(), self.frame_max));
            self.rare.guard = Guard::new(agreed);
            self.driver.wake_by_ref();
        }
    }
}

fn invalid(violation: Violation) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, violation)
}

/// Resolves when a message was written to the network, with its body.
pub(crate) struct Sent {
    wire: Arc<Wire>,
    step: Step,
}

enum Step {
    Parcel(Parcel),
    Writing { ticket: u64, receipt: Option<(u16, u64)> },
    Done,
}

impl Future for Sent {
    /// The body, and what the confirm is awaited with, if one is.
    type Output = (Vec<u8>, Result<Option<Receipt>, Error>);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let mut state = this.wire.state();
        if let Step::Parcel(_) = &this.step
            && let Step::Parcel(parcel) = std::mem::replace(&mut this.step, Step::Done)
        {
            let Parcel { channel, template, key, envelope, message_id, body, confirm } = parcel;
            let Some(lane) = state.lane(channel).filter(|lane| !lane.closed) else {
                return Poll::Ready((body, Err(closed())));
            };
            let receipt = confirm.then(|| (channel, lane.publish(envelope)));
            let mut head = state.outgoing.buffer();
            frames::publish(&mut head, channel, &template, (&key, envelope.as_str(), message_id), body.len());
            let frame_max = state.frame_max;
            let ticket = state.outgoing.push_message(head, body, channel, frame_max);
            if state.outgoing.message_bytes() >= WRITE_BYTES {
                state.write();
            } else {
                state.driver.wake_by_ref();
            }
            this.step = Step::Writing { ticket, receipt };
        }
        let Step::Writing { ticket, receipt } = this.step else { unreachable!("polled after it was ready") };
        let Some((body, written)) = state.outgoing.take_back(ticket) else {
            state.outgoing.wake(ticket, cx.waker());
            return Poll::Pending;
        };
        this.step = Step::Done;
        let receipt = receipt.map(|(channel, tag)| Receipt { wire: this.wire.clone(), channel, tag });
        Poll::Ready((body, if written { Ok(receipt) } else { Err(closed()) }))
    }
}

/// Resolves to the service's outcome for one message.
pub(crate) struct Receipt {
    wire: Arc<Wire>,
    channel: u16,
    tag: u64,
}

impl Future for Receipt {
    type Output = Result<Outcome, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.wire.state();
        let Some(lane) = state.lane(self.channel) else { return Poll::Ready(Err(closed())) };
        match lane.poll_outcome(self.tag, cx) {
            Poll::Pending if lane.closed => Poll::Ready(Err(closed())),
            outcome => outcome.map(Ok),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::envelope::Envelope;
    use futures_util::future::Either;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
        sync::mpsc::unbounded_channel,
        time::timeout,
    };

    const LIMIT: Duration = Duration::from_secs(60);

    /// Method 60.80: tag 1.
    const ACK: &[u8] = b"\x01\0\x01\0\0\0\x0d\0\x3c\0\x50\0\0\0\0\0\0\0\x01\0\xce";
    /// Method 20.40: 406, no text, no cause.
    const CHANNEL_CLOSE: &[u8] = b"\x01\0\x01\0\0\0\x0b\0\x14\0\x28\x01\x96\0\0\0\0\0\xce";

    /// A connection that is read here, with the service's end of it and lapin's.
    async fn connected() -> (Arc<Wire>, TcpStream, DuplexStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let service = listener.accept().await.unwrap().0;
        let stream = Either::Left(crate::socket::Tcp::new(stream, false));
        let (wire, lapin) = Wire::start(stream, Greeting::default(), 4096, Arc::default(), unbounded_channel().0);
        wire.take_over().await.unwrap();
        wire.open_lane(1, false, None);
        (wire, service, lapin)
    }

    fn message(wire: &Arc<Wire>, template: &Arc<Template>) -> Sent {
        let envelope = Envelope { run: 1, producer: 0, sequence: 0, due_ns: 0, sent_ns: 0, checksum: 0, seal: 0 };
        let (template, body) = (template.clone(), b"body".to_vec());
        let envelope = envelope.encode();
        wire.send(Parcel { channel: 1, template, key: "key".into(), envelope, message_id: None, body, confirm: true })
    }

    #[tokio::test]
    async fn a_message_that_was_confirmed_before_the_channel_was_closed_is_confirmed() {
        let (wire, mut service, mut lapin) = connected().await;
        let whole = async {
            let template = Arc::new(Template::new("", "text/plain", 1, None, true).unwrap());
            let [(_, first), (_, second)] = [message(&wire, &template).await, message(&wire, &template).await];
            service.write_all(&[ACK, CHANNEL_CLOSE].concat()).await.unwrap();
            let mut seen = [0; CHANNEL_CLOSE.len()];
            lapin.read_exact(&mut seen).await.unwrap();
            assert_eq!(seen, CHANNEL_CLOSE, "the confirm is not for lapin");
            assert_eq!(first.unwrap().unwrap().await.unwrap(), Outcome::Accepted);
            assert!(second.unwrap().unwrap().await.is_err());
            let (body, third) = message(&wire, &template).await;
            assert!(body == b"body" && third.is_err(), "nothing is published on a closed channel");
            assert!(wire.ack(1, 1, false).is_err(), "nor acknowledged");
        };
        timeout(LIMIT, whole).await.unwrap();
    }

    #[tokio::test]
    async fn the_last_frames_of_lapin_are_written_when_it_leaves() {
        let (_wire, mut service, mut lapin) = connected().await;
        lapin.write_all(HEARTBEAT_FRAME).await.unwrap();
        drop(lapin);
        let mut seen = [0; HEARTBEAT_FRAME.len()];
        timeout(LIMIT, service.read_exact(&mut seen)).await.unwrap().unwrap();
        assert_eq!(seen, HEARTBEAT_FRAME);
    }
}
