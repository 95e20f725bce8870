//! The thread that serves what is shown.

use crate::{metrics, shown::View};
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Frame, Incoming},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

const HEADER_LIMIT: Duration = Duration::from_secs(10);
/// How often the page gets news.
const NEWS_EVERY: Duration = Duration::from_secs(1);
/// Connections at the same time, of browsers and collectors.
const CONNECTIONS_MAX: usize = 64;
const PAGE: &str = include_str!("page.html");
/// The name of the thread, by which its CPU time can be read.
const THREAD: &str = "live";

/// It cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened at.
    #[error("nothing can be shown at {0} ({1}): give another address, such as 127.0.0.1:0 for a free port")]
    Listen(SocketAddr, io::Error),
    /// The address is for others too, and nobody has said that they may look.
    #[error("{0} is not local, and everybody who reaches it would see the run: give 127.0.0.1:{port}, or add --expose", port = .0.port())]
    Exposed(SocketAddr),
    /// The system lacks threads or files.
    #[error(transparent)]
    Short(io::Error),
}

/// A launch that is shown.
#[derive(Debug)]
pub struct Live {
    view: View,
    addresses: Vec<SocketAddr>,
}

impl Live {
    /// Serves at these addresses until the process ends; those that others reach only if it is `exposed`.
    ///
    /// # Errors
    ///
    /// [`Error`] for the first address that cannot be served at, before any is.
    pub fn start(addresses: &[SocketAddr], exposed: bool) -> Result<Self, Error> {
        let listen = |address: &SocketAddr| {
            if !exposed && !address.ip().is_loopback() {
                return Err(Error::Exposed(*address));
            }
            let failed = |error| Error::Listen(*address, error);
            let listener = TcpListener::bind(address).map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            Ok((listener.local_addr().map_err(failed)?, listener))
        };
        let listening = addresses.iter().map(listen).collect::<Result<Vec<_>, _>>()?;
        let (addresses, listeners): (Vec<_>, Vec<_>) = listening.into_iter().unzip();
        let runtime = shortage::runtime(|| tokio::runtime::Builder::new_current_thread().enable_all().build());
        let runtime = runtime.map_err(Error::Short)?;
        let view = View::default();
        let shown = view.clone();
        shortage::thread(THREAD, move || {
            runtime.block_on(async {
                let all = listeners.into_iter().map(|listener| serve(listener, shown.clone()));
                futures_util::future::join_all(all).await;
            });
        })
        .map_err(Error::Short)?;
        Ok(Self { view, addresses })
    }

    /// The end at which to write.
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// Where it is shown, in the order of the addresses it was started with.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

async fn serve(listener: TcpListener, view: View) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let room = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors: the next accept would fail at once, too.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let view = view.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| std::future::ready(Ok::<_, Infallible>(reply(&view, &request))));
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEADER_LIMIT);
            // A reader that breaks off is of no interest.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
            drop(place);
        });
    }
}

fn reply(view: &View, request: &Request<Incoming>) -> Response<BoxBody<Bytes, Infallible>> {
    let whole = |text: String| Full::new(Bytes::from(text)).boxed();
    let (kind, body) = match request.uri().path() {
        "/" => ("text/html; charset=utf-8", whole(PAGE.to_owned())),
        "/metrics" => (metrics::CONTENT_TYPE, whole(metrics::text(&view.shown()))),
        "/events" => ("text/event-stream", BodyExt::boxed(StreamBody::new(news(view.clone())))),
        _ => {
            let mut response = Response::new(whole("there is /, /events and /metrics\n".to_owned()));
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        }
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

/// What is shown, at once and then once a second.
fn news(view: View) -> impl stream::Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + Sync {
    stream::unfold((view, false), |(view, waits)| async move {
        if waits {
            tokio::time::sleep(NEWS_EVERY).await;
        }
        let event = format!("data: {}\n\n", view.shown().json());
        Some((Ok(Frame::data(Bytes::from(event))), (view, true)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shown::{Moment, Run};
    use measure::Counters;
    use std::{
        io::{BufRead, BufReader, Write},
        net::TcpStream,
    };

    const LOCAL: &str = "127.0.0.1:0";

    fn live() -> Live {
        Live::start(&[LOCAL.parse().unwrap()], false).unwrap()
    }

    /// Lines of a reply, until one holds this.
    fn lines(live: &Live, path: &str, until: &str) -> Vec<String> {
        let mut stream = TcpStream::connect(live.addresses()[0]).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: here\r\n\r\n").unwrap();
        let mut lines = Vec::new();
        for line in BufReader::new(stream).lines() {
            lines.push(line.unwrap());
            if lines.last().unwrap().contains(until) {
                return lines;
            }
        }
        panic!("{until}: {lines:?}");
    }

    fn run(run_id: &str) -> Run {
        Run { run_id: run_id.to_owned(), ..Run::default() }
    }

    #[test]
    fn what_rank_0_shows_is_served_as_a_page_as_events_and_as_metrics() {
        let live = live();
        let mut view = live.view();
        view.begin(run("first"));
        view.say("a fault begins");
        let counters = Counters { sent: 41, ..Counters::default() };
        view.show(Moment { counters, ..Moment::default() });
        assert!(lines(&live, "/", "</html>").iter().any(|line| line.contains("EventSource")));
        assert!(lines(&live, "/metrics", "# EOF").iter().any(|line| line == "streamharness_sent_total 41"));
        let event = lines(&live, "/events", "data: ").pop().unwrap();
        let event: serde_json::Value = serde_json::from_str(event.split_once("data: ").unwrap().1).unwrap();
        assert_eq!((&event["run"]["run_id"], &event["sent"]), (&"first".into(), &41.into()));
        assert_eq!(event["lines"][0]["line"], "a fault begins");
        // What was said stays, what was counted does not.
        view.end(false);
        view.begin(run("second"));
        let next = lines(&live, "/events", "data: ").pop().unwrap();
        assert!(next.contains("second") && next.contains("a fault begins") && next.contains("[1,1]"), "{next}");
        assert!(next.contains("\"sent\":0"), "{next}");
        assert!(lines(&live, "/other", "there is /")[0].contains("404"));
    }

    #[test]
    fn news_come_again_to_those_who_stay() {
        let live = live();
        let mut stream = TcpStream::connect(live.addresses()[0]).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        write!(stream, "GET /events HTTP/1.1\r\nhost: here\r\n\r\n").unwrap();
        let events = BufReader::new(stream).lines().filter(|line| line.as_ref().unwrap().contains("data: "));
        assert_eq!(events.take(3).count(), 3);
    }

    #[test]
    fn an_address_that_is_taken_or_that_others_reach_is_refused() {
        let taken = live().addresses()[0];
        let error = Live::start(&[taken], false).unwrap_err().to_string();
        assert!(error.contains(&taken.to_string()) && error.contains("127.0.0.1:0"), "{error}");
        let error = Live::start(&["0.0.0.0:9464".parse().unwrap()], false).unwrap_err().to_string();
        assert!(error.contains("--expose") && error.contains("127.0.0.1:9464"), "{error}");
        assert!(Live::start(&["0.0.0.0:0".parse().unwrap()], true).is_ok());
    }

    #[test]
    fn only_so_many_lines_are_kept() {
        let view = View::default();
        (0..1000).for_each(|number| view.say(&number.to_string()));
        let lines = view.shown().lines;
        assert_eq!((lines.len(), lines[0].line.as_str()), (200, "800"));
    }
}
