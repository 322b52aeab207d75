use std::fmt;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use insula::error::{Error, Result};
use tokio::net::{TcpSocket, TcpStream};

use super::load::{Round, ask, connect, exchange};
use super::servers::DOMAIN;

/// Connections that guess passwords, each from an address of its own.
const GUESSERS: u8 = 32;
/// Connections that read, and how long each rests between two requests: far from what the machine can do.
const READERS: usize = 4;
const REST: Duration = Duration::from_millis(5);
/// Connections that write.
const WRITERS: usize = 4;

/// How guesses were answered.
#[derive(Default)]
pub struct Answers {
    wrong: usize,
    slowed: usize,
}

impl Answers {
    /// Adds those of another round.
    pub fn add(&mut self, other: Self) {
        self.wrong += other.wrong;
        self.slowed += other.slowed;
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passwords are refused as wrong and {} unseen", self.wrong, self.slowed)
    }
}

/// Reads at a steady pace for `duration`.
pub async fn paced(port: u16, requests: &[Vec<u8>], duration: Duration) -> Result<Round> {
    let began = Instant::now();
    let readers = (0..READERS).map(|number| async move {
        let (mut stream, mut micros, mut answer) = (connect(port).await?, Vec::new(), Vec::new());
        while began.elapsed() < duration {
            tokio::time::sleep(REST).await;
            let asked = Instant::now();
            let request = &requests[(number + micros.len()) % requests.len()];
            ask(&mut stream, request, &mut answer, b"200").await.map_err(Error::internal)?;
            micros.push(asked.elapsed().as_micros() as u32);
        }
        Ok::<_, Error>(micros)
    });
    let micros: Vec<u32> = try_join_all(readers).await?.concat();
    Ok(Round { per_second: micros.len() as f64 / began.elapsed().as_secs_f64(), micros })
}

/// Rows made a second. A `?` in the first request is replaced by a number, so that each is another one.
pub async fn post(port: u16, requests: &[Vec<u8>], duration: Duration) -> Result<f64> {
    let began = Instant::now();
    let start =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_err(Error::internal)?.as_micros();
    let writers = (0..WRITERS).map(|number| async move {
        let (mut stream, mut made, mut answer) = (connect(port).await?, 0, Vec::new());
        while began.elapsed() < duration {
            let mark = format!("{start:020}-{number:02}-{made:08}");
            let request: Vec<u8> = String::from_utf8_lossy(&requests[0]).replace('?', &mark).into_bytes();
            ask(&mut stream, &request, &mut answer, b"201").await.map_err(Error::internal)?;
            made += 1;
        }
        Ok::<_, Error>(made)
    });
    let made: usize = try_join_all(writers).await?.into_iter().sum();
    Ok(made as f64 / began.elapsed().as_secs_f64())
}

/// Guesses for accounts that there are not, as fast as answers come.
pub async fn sign_ins(port: u16, duration: Duration) -> Result<Answers> {
    let began = Instant::now();
    let guessers = (1..=GUESSERS).map(|number| async move {
        let mut stream = from(port, number).await?;
        let (mut answers, mut answer, mut guess) = (Answers::default(), Vec::new(), 0);
        while began.elapsed() < duration {
            guess += 1;
            let body = format!(r#"{{"email":"x{number}-{guess}@y.test","password":"guess number {guess}"}}"#);
            let request = format!(
                "POST /api/v1/auth/login HTTP/1.1\r\nHost: bench-0.{DOMAIN}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            exchange(&mut stream, request.as_bytes(), &mut answer).await.map_err(Error::internal)?;
            match answer.get(9..12) {
                Some(b"401") => answers.wrong += 1,
                Some(b"429") => {
                    answers.slowed += 1;
                    // The load of refused clients that ask again at once would be this program's, on the same processors.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                _ => return Err(Error::internal(String::from_utf8_lossy(&answer).into_owned())),
            }
        }
        Ok::<_, Error>(answers)
    });
    let mut all = Answers::default();
    try_join_all(guessers).await?.into_iter().for_each(|answers| all.add(answers));
    Ok(all)
}

async fn from(port: u16, number: u8) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4().map_err(Error::internal)?;
    socket.bind(([127, 0, 1, number], 0).into()).map_err(Error::internal)?;
    socket.connect(([127, 0, 0, 1], port).into()).await.map_err(Error::internal)
}
