//! The real program, serving a world's database as a second process.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use super::world::World;

/// A second process; it is killed when this is dropped.
pub struct Second {
    pub port: u16,
    pub http: reqwest::Client,
    process: Child,
}

impl Second {
    pub async fn over(world: &World) -> Self {
        Self::with(world, &[]).await
    }

    /// With settings of its own, as environment variables.
    pub async fn with(world: &World, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_insula"));
        command.args(["serve", "--json"]).envs(world.environment()).env("INSULA_LOG_LEVEL", "error");
        command.envs(settings.iter().copied());
        let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut out = process.stdout.take().unwrap();
        let mut text = Vec::new();
        let ready: Value = loop {
            assert!(
                out.read_buf(&mut text).await.unwrap() > 0,
                "the program ended: {}",
                String::from_utf8_lossy(&text)
            );
            if let Ok(ready) = serde_json::from_slice(&text) {
                break ready;
            }
        };
        let port = ready["listen"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
        Self { port, http: reqwest::Client::builder().no_proxy().build().unwrap(), process }
    }

    /// SIGKILL, and the end of the process.
    pub async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }
}
