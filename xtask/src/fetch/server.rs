//! A web server on loopback that lies as it is told, for tests.

use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request, as far as a liar cares.
pub struct Request {
    pub method: String,
    /// As in the request line; whole URL when a proxy is asked.
    pub target: String,
    /// Lower-case names.
    headers: Vec<(String, String)>,
    /// How many requests came before this one.
    pub number: usize,
    /// Where the body comes from, until it was read.
    body: RefCell<Option<TcpStream>>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// All that was sent. Who does not ask for it and closes the connection stops in the
    /// middle.
    pub fn body(&self) -> Vec<u8> {
        let length = self.header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        if let Some(mut stream) = self.body.borrow_mut().take() {
            stream.read_exact(&mut body).unwrap();
        }
        body
    }

    /// First byte asked for.
    pub fn from(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }

    pub fn file(&self) -> &str {
        self.target.rsplit('/').next().unwrap()
    }
}

/// What is answered.
pub struct Answer {
    head: String,
    body: Vec<u8>,
    then: Then,
}

/// What comes after head and body.
pub enum Then {
    /// The next request.
    Next,
    /// The connection is closed.
    Close,
    /// The body again and again.
    Endless,
    /// Nothing, and the connection stays.
    Silence,
    /// A byte now and then.
    Drip,
}

impl Answer {
    pub fn new(status: &str, headers: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        // A HEAD's answer says how long the body would be.
        let length = match headers.contains("content-length") {
            true => String::new(),
            false => format!("content-length: {}\r\n", body.len()),
        };
        let head = format!("HTTP/1.1 {status}\r\n{length}{headers}\r\n");
        Answer { head, body, then: Then::Next }
    }

    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Answer::new("200 OK", "", body)
    }

    /// The part that was asked for, as an honest server sends it.
    pub fn part(request: &Request, whole: &[u8]) -> Self {
        match request.from() {
            None => Answer::ok(whole),
            Some(from) => {
                let range =
                    format!("content-range: bytes {from}-{}/{}\r\n", whole.len() - 1, whole.len());
                Answer::new("206 Partial Content", &range, &whole[from..])
            }
        }
    }

    /// Only the first `count` bytes of the body, whatever the head says.
    pub fn cut(mut self, count: usize) -> Self {
        self.body.truncate(count);
        self.then(Then::Close)
    }

    pub fn then(mut self, then: Then) -> Self {
        self.then = then;
        self
    }

    /// Without a length: the body ends with the connection.
    pub fn unsized_(body: impl Into<Vec<u8>>) -> Self {
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_owned();
        Answer { head, body: body.into(), then: Then::Close }
    }

    pub fn raw(head: &str) -> Self {
        Answer { head: head.to_owned(), body: Vec::new(), then: Then::Close }
    }
}

/// A request that came.
pub struct Logged {
    pub authorization: Option<String>,
}

type Handler = dyn Fn(&Request) -> Answer + Send + Sync;

/// A running server; it ends when dropped.
pub struct Server {
    port: u16,
    pub log: Arc<Mutex<Vec<Logged>>>,
    over: Arc<AtomicBool>,
}

impl Server {
    pub fn start(handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Server { port, log: Arc::default(), over: Arc::default() };
        let (handler, log, over): (Arc<Handler>, _, _) =
            (Arc::new(handler), server.log.clone(), server.over.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let (handler, log, over) = (handler.clone(), log.clone(), over.clone());
                std::thread::spawn(move || serve(stream, &*handler, &log, &over));
            }
        });
        server
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn requests(&self) -> usize {
        self.log.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        TcpStream::connect(("127.0.0.1", self.port)).ok();
    }
}

fn serve(
    mut stream: TcpStream,
    handler: &Handler,
    log: &Mutex<Vec<Logged>>,
    over: &AtomicBool,
) -> Option<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let mut words = lines.next()?.split(' ').map(str::to_owned);
        let (method, target) = (words.next()?, words.next()?);
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers =
            headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        let body = RefCell::new(stream.try_clone().ok());
        let mut request = Request { method, target, headers, number: 0, body };
        let mut log = log.lock().unwrap();
        request.number = log.len();
        log.push(Logged { authorization: request.header("authorization").map(str::to_owned) });
        drop(log);
        let answer = handler(&request);
        if matches!(answer.then, Then::Next) {
            request.body(); // or it would be the next request
        }
        stream.write_all(answer.head.as_bytes()).ok()?;
        stream.write_all(&answer.body).ok()?;
        let alive = || !over.load(Ordering::Relaxed);
        match answer.then {
            Then::Next => continue,
            Then::Close => return None,
            Then::Endless => {
                while alive() {
                    stream.write_all(&answer.body).ok()?;
                }
            }
            Then::Silence => {
                while alive() {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
            Then::Drip => {
                while alive() {
                    stream.write_all(b"x").ok()?;
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
        return None;
    }
}
