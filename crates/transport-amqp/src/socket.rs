//! The byte stream under lapin: TCP or TLS, guarded, with its first bytes kept and TLS records read ahead.

use crate::{guard::Guard, line::Passed};
use async_rs::{
    Tokio,
    traits::{Executor, Reactor, RuntimeKit},
    util::Task,
};
use futures_io::{AsyncRead, AsyncWrite};
use futures_rustls::client::TlsStream;
use futures_util::{Stream, future::Either};
use lapin::protocol::AMQPError;
use std::{
    collections::VecDeque,
    io::{self, IoSlice, IoSliceMut, Read, Write},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, DuplexStream, ReadBuf},
    net::TcpStream,
    sync::mpsc::UnboundedSender,
};

/// rustls reads 4 KiB at a time, which is four system calls per record; large bodies arrive as sequences of records.
const READ_AHEAD_BYTES: usize = 256 << 10;
/// Bytes per read of a frame for which the caller's buffer has no room.
const FRAME_REST_BYTES: usize = 4 << 10;
/// More than any service sends before the login.
const GREETING_BYTES_MAX: usize = 64 << 10;

/// A TCP connection with the traits that lapin needs.
pub(crate) struct Tcp {
    inner: TcpStream,
    ahead: Option<ReadAhead>,
}

struct ReadAhead {
    bytes: Box<[u8]>,
    from: usize,
    to: usize,
}

impl Tcp {
    pub(crate) fn new(inner: TcpStream, read_ahead: bool) -> Self {
        let ahead =
            read_ahead.then(|| ReadAhead { bytes: vec![0; READ_AHEAD_BYTES].into_boxed_slice(), from: 0, to: 0 });
        Self { inner, ahead }
    }
}

fn read_some(inner: &mut TcpStream, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
    let mut buf = ReadBuf::new(into);
    ready!(Pin::new(inner).poll_read(cx, &mut buf))?;
    Poll::Ready(Ok(buf.filled().len()))
}

impl AsyncRead for Tcp {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let Some(ahead) = &mut this.ahead else {
            return read_some(&mut this.inner, cx, into);
        };
        if ahead.from == ahead.to {
            ahead.from = 0;
            ahead.to = 0;
            ahead.to = ready!(read_some(&mut this.inner, cx, &mut ahead.bytes))?;
        }
        let n = into.len().min(ahead.to - ahead.from);
        into[..n].copy_from_slice(&ahead.bytes[ahead.from..ahead.from + n]);
        ahead.from += n;
        Poll::Ready(Ok(n))
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.ahead.is_some() {
            let first = slices.iter_mut().find(|slice| !slice.is_empty());
            return first.map_or(Poll::Ready(Ok(0)), |slice| self.poll_read(cx, slice));
        }
        loop {
            ready!(self.inner.poll_read_ready(cx))?;
            match self.inner.try_read_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// The first bytes of the other side, up to the end of its first AMQP frame.
///
/// lapin keeps neither the service's description of itself nor the reply of a peer that is not an AMQP service.
#[derive(Clone, Default)]
pub(crate) struct Greeting(Arc<Mutex<Received>>);

#[derive(Default)]
struct Received {
    bytes: Vec<u8>,
    /// The error that ended TLS.
    tls_error: Option<rustls::Error>,
}

impl Greeting {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.lock().bytes.clone()
    }

    /// The error that ended TLS, if it came before the end of the first frame.
    pub(crate) fn tls_error(&self) -> Option<rustls::Error> {
        self.lock().tls_error.clone()
    }

    /// Stores the error that ended TLS, because lapin may report a failed write instead.
    pub(crate) fn ended(&self, error: &io::Error) {
        let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        self.lock().tls_error = cause.cloned();
    }

    /// Stores `bytes`; false once nothing more is needed.
    pub(crate) fn keep(&self, bytes: &[u8]) -> bool {
        let kept = &mut self.lock().bytes;
        kept.extend_from_slice(bytes);
        kept.len() < GREETING_BYTES_MAX && first_frame(kept).is_none()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Received> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Type and payload of the first AMQP frame, once it is complete.
pub(crate) fn first_frame(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (header, rest) = bytes.split_at_checked(7)?;
    let length = u32::from_be_bytes([header[3], header[4], header[5], header[6]]) as usize;
    let payload = rest.get(..length)?;
    (rest.get(length) == Some(&0xce)).then_some((header[0], payload))
}

/// A connection without TLS, or with it.
pub(crate) type Connected = Either<Tcp, TlsStream<Tcp>>;

/// What lapin reads and writes.
pub(crate) enum LapinStream {
    /// The whole connection.
    Whole(Box<Socket>),
    /// What the light client leaves of it.
    Rare(DuplexStream),
}

impl AsyncRead for LapinStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Whole(socket) => Pin::new(&mut **socket).poll_read(cx, into),
            Self::Rare(rare) => {
                let mut buf = ReadBuf::new(into);
                ready!(Pin::new(rare).poll_read(cx, &mut buf))?;
                Poll::Ready(Ok(buf.filled().len()))
            }
        }
    }
}

impl AsyncWrite for LapinStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Whole(socket) => Pin::new(&mut **socket).poll_write(cx, bytes),
            Self::Rare(rare) => Pin::new(rare).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Whole(socket) => Pin::new(&mut **socket).poll_write_vectored(cx, slices),
            Self::Rare(rare) => Pin::new(rare).poll_write_vectored(cx, slices),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Whole(socket) => Pin::new(&mut **socket).poll_flush(cx),
            Self::Rare(rare) => Pin::new(rare).poll_flush(cx),
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Whole(socket) => Pin::new(&mut **socket).poll_close(cx),
            Self::Rare(rare) => Pin::new(rare).poll_shutdown(cx),
        }
    }
}

/// The guarded stream of a whole connection.
pub(crate) struct Socket {
    stream: Connected,
    greeting: Option<Greeting>,
    guard: Guard,
    /// Bytes that passed the guard and did not fit the caller's buffer.
    ahead: VecDeque<u8>,
    passed: Arc<Passed>,
    reasons: UnboundedSender<AMQPError>,
}

impl Socket {
    /// `frame_max` is the largest frame that will be requested, in bytes.
    pub(crate) fn new(
        stream: Connected,
        greeting: Greeting,
        frame_max: u32,
        passed: Arc<Passed>,
        reasons: UnboundedSender<AMQPError>,
    ) -> Self {
        Self { stream, greeting: Some(greeting), guard: Guard::new(frame_max), ahead: VecDeque::new(), passed, reasons }
    }

    /// Reads behind the first `kept` bytes of `into`, which the guard held back.
    fn poll_more(&mut self, cx: &mut Context<'_>, into: &mut [u8], kept: usize) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut into[kept..]));
        if let (Some(greeting), Err(error)) = (&self.greeting, &result) {
            greeting.ended(error);
        }
        match result {
            Ok(0) | Err(_) => self.passed.end(),
            Ok(_) => self.passed.note(),
        }
        let n = result?;
        if let Some(greeting) = &self.greeting
            && !greeting.keep(&into[kept..kept + n])
        {
            self.greeting = None;
        }
        Poll::Ready(Ok(n))
    }

    /// Passes `bytes` through the guard; returns how many of them may pass.
    fn look(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let looked = self.guard.look(bytes);
        for (code, words) in self.guard.closed() {
            // Codes that are not errors mean a regular close. The receiver is gone if the login was given up.
            let _ = AMQPError::from_id(code, words.into()).map(|reason| self.reasons.send(reason));
        }
        looked.map_err(|violation| io::Error::new(io::ErrorKind::InvalidData, violation))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            if !this.ahead.is_empty() {
                return Poll::Ready(this.ahead.read(into));
            }
            let kept = this.guard.held().len();
            let passed = if kept < into.len() {
                into[..kept].copy_from_slice(this.guard.held());
                match ready!(this.poll_more(cx, into, kept))? {
                    0 => return Poll::Ready(Ok(0)),
                    n => this.look(&mut into[..kept + n])?,
                }
            } else {
                // The incomplete frame does not fit the remaining room: lapin's buffer is a ring, and this is its end.
                let mut aside = [this.guard.held(), &[0; FRAME_REST_BYTES]].concat();
                match ready!(this.poll_more(cx, &mut aside, kept))? {
                    0 => return Poll::Ready(Ok(0)),
                    n => {
                        let passed = this.look(&mut aside[..kept + n])?;
                        this.ahead.extend(&aside[..passed]);
                        0
                    }
                }
            };
            if passed > 0 {
                return Poll::Ready(Ok(passed));
            }
        }
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices.iter_mut().find(|slice| !slice.is_empty()) {
            Some(slice) => self.poll_read(cx, slice),
            None => Poll::Ready(Ok(0)),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let n = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.passed.note();
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let n = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
        self.passed.note();
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// The caller's tokio runtime, with [`LapinStream`] as its stream.
#[derive(Debug, Clone)]
pub(crate) struct Kit(Tokio);

impl Kit {
    /// The kit of the caller's runtime.
    pub(crate) fn current() -> Self {
        Self(Tokio::current())
    }
}

impl RuntimeKit for Kit {}

impl Executor for Kit {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, f: F) -> T {
        self.0.block_on(f)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(&self, f: F) -> Task<Self::Task<T>> {
        self.0.spawn(f)
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(&self, f: F) -> Task<Self::Task<T>> {
        self.0.spawn_blocking(f)
    }
}

impl Reactor for Kit {
    type TcpStream = LapinStream;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<LapinStream, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    /// We connect before lapin starts, so that connecting has limits and errors of its own.
    fn tcp_connect_addr(&self, _: SocketAddr) -> impl Future<Output = io::Result<LapinStream>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_ends_with_the_first_frame() {
        let greeting = Greeting::default();
        assert!(greeting.keep(&[1, 0, 0, 0, 0, 0]));
        assert!(greeting.keep(&[2, 7, 8]));
        assert!(!greeting.keep(&[0xce, 9]));
        assert_eq!(first_frame(&greeting.bytes()), Some((1, &[7, 8][..])));
    }

    #[test]
    fn what_is_no_frame_has_no_first_frame() {
        for bytes in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n", &[1, 0, 0, 0, 0, 0, 0, 0xcd]] {
            assert_eq!(first_frame(bytes), None);
        }
    }

    #[test]
    fn an_endless_greeting_is_not_kept_endlessly() {
        let greeting = Greeting::default();
        let noise = [b'x'; 4096];
        let chunks = (1..).find(|_| !greeting.keep(&noise)).unwrap();
        assert_eq!(chunks * noise.len(), GREETING_BYTES_MAX);
    }

    /// The bytes received over a connection on which `sent` arrives, read `room` bytes at a time.
    async fn received(sent: Vec<u8>, room: usize) -> io::Result<Vec<u8>> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            for piece in sent.chunks(1000) {
                tokio::io::AsyncWriteExt::write_all(&mut peer, piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let plain = Either::Left(Tcp::new(stream, false));
        let (reasons, _) = tokio::sync::mpsc::unbounded_channel();
        let mut socket = Socket::new(plain, Greeting::default(), 1 << 17, Arc::default(), reasons);
        let mut received = Vec::new();
        let mut into = vec![0; room];
        loop {
            let n = std::future::poll_fn(|cx| Pin::new(&mut socket).poll_read(cx, &mut into)).await?;
            if n == 0 {
                return Ok(received);
            }
            received.extend_from_slice(&into[..n]);
        }
    }

    #[tokio::test]
    async fn frames_pass_the_guard_whatever_room_there_is_for_them() {
        let frame = |kind, payload: &[u8]| {
            [&[kind, 0, 1][..], &(payload.len() as u32).to_be_bytes(), payload, &[0xce]].concat()
        };
        let header = |properties: &[u8]| frame(2, &[b"\0\x3c\0\0\0\0\0\0\0\0\0\x05", properties].concat());
        // A correlation id that is no text, and headers that take several reads.
        let (unreadable, long) =
            (b"\x04\0\x02\xff\xfe", [&b"\x20\0\0\0\x27\x17\x01kS\0\0\x27\x10"[..], &[7; 10_000]].concat());
        let sent = [header(unreadable), frame(3, b"hello"), header(&long), frame(3, &[9; 5000])].concat();
        let expected = [header(b"\0\0"), frame(3, b"hello"), header(&long), frame(3, &[9; 5000])].concat();
        for room in [1, 6, 500, 10_030, 1 << 16] {
            assert_eq!(received(sent.clone(), room).await.unwrap(), expected, "room for {room} bytes");
        }
        let error = received(b"HTTP/1.1 400 Bad Request".to_vec(), 500).await.unwrap_err();
        assert!(error.get_ref().is_some_and(|inner| inner.is::<crate::guard::Violation>()), "{error}");
    }
}
