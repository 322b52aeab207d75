use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use insula::error::{Error, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Keep-alive connections that ask at once, each waiting for its answer.
pub const CONNECTIONS: usize = 32;

/// What a round of requests gave.
pub struct Round {
    /// Requests answered per second.
    pub per_second: f64,
    /// How long each took, in microseconds.
    pub micros: Vec<u32>,
}

/// Asks at random for `duration`. Whatever is not answered with 200 ends the benchmark.
pub async fn run(port: u16, requests: &[Vec<u8>], duration: Duration) -> Result<Round> {
    let began = Instant::now();
    let clients = (0..CONNECTIONS).map(|number| client(port, requests, number, began + duration));
    let micros: Vec<u32> = try_join_all(clients).await?.concat();
    Ok(Round { per_second: micros.len() as f64 / began.elapsed().as_secs_f64(), micros })
}

/// Connections that each were answered once and stay open.
pub async fn idle_connections(port: u16, request: &[u8], number: usize) -> Result<Vec<TcpStream>> {
    let mut open = Vec::with_capacity(number);
    for _ in 0..number {
        let mut stream = connect(port).await?;
        ask(&mut stream, request, &mut Vec::new(), b"200").await.map_err(Error::internal)?;
        open.push(stream);
    }
    Ok(open)
}

async fn client(port: u16, requests: &[Vec<u8>], number: usize, end: Instant) -> Result<Vec<u32>> {
    let mut stream = connect(port).await?;
    let (mut micros, mut answer) = (Vec::new(), Vec::with_capacity(4096));
    let mut dice = Dice(number as u64 + 1);
    while Instant::now() < end {
        let asked = Instant::now();
        let request = &requests[dice.next() % requests.len()];
        ask(&mut stream, request, &mut answer, b"200").await.map_err(Error::internal)?;
        micros.push(asked.elapsed().as_micros() as u32);
    }
    Ok(micros)
}

/// A connection without delay.
pub async fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(Error::internal)?;
    stream.set_nodelay(true).map_err(Error::internal)?;
    Ok(stream)
}

/// One request and its whole answer, which must have this status.
pub async fn ask(stream: &mut TcpStream, request: &[u8], answer: &mut Vec<u8>, status: &[u8]) -> io::Result<()> {
    exchange(stream, request, answer).await?;
    match answer.get(9..12) == Some(status) {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(answer).into_owned())),
    }
}

/// One request and its whole answer, which must have a length.
pub async fn exchange(stream: &mut TcpStream, request: &[u8], answer: &mut Vec<u8>) -> io::Result<()> {
    stream.write_all(request).await?;
    answer.clear();
    loop {
        if stream.read_buf(answer).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let missing = (head + 4 + length(&answer[..head])?).saturating_sub(answer.len());
        if missing > 0 {
            let have = answer.len();
            answer.resize(have + missing, 0);
            stream.read_exact(&mut answer[have..]).await?;
        }
        return Ok(());
    }
}

/// `Content-Length` of a head; both servers write names in small letters.
fn length(head: &[u8]) -> io::Result<usize> {
    const NAME: &[u8] = b"\r\ncontent-length: ";
    let start = head.windows(NAME.len()).position(|name| name == NAME).map(|at| at + NAME.len());
    let digits = head[start.ok_or(ErrorKind::InvalidData)?..].iter().take_while(|byte| byte.is_ascii_digit());
    Ok(digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0')))
}

/// xorshift64*: the same requests in every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize
    }
}
