//! Listens to a stream to its end, and can be asked before that what it has heard.

use std::io::{PipeReader, Read};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

pub struct Ear {
    so_far: Arc<Mutex<Vec<u8>>>,
    listener: JoinHandle<()>,
}

impl Ear {
    pub fn new(mut stream: PipeReader) -> Ear {
        let so_far = Arc::new(Mutex::new(Vec::new()));
        let heard = so_far.clone();
        let listener = std::thread::spawn(move || {
            let mut piece = [0; 4096];
            loop {
                match stream.read(&mut piece).unwrap() {
                    0 => break,
                    length => heard.lock().unwrap().extend_from_slice(&piece[..length]),
                }
            }
        });
        Ear { so_far, listener }
    }

    /// Whether a line begins so by now.
    pub fn has_heard(&self, start: &str) -> bool {
        text(&self.so_far).lines().any(|line| line.starts_with(start))
    }

    /// All of it; nobody may have the stream's other end any more.
    pub fn heard(self) -> String {
        self.listener.join().unwrap();
        text(&self.so_far)
    }
}

fn text(of: &Mutex<Vec<u8>>) -> String {
    String::from_utf8_lossy(&of.lock().unwrap()).into_owned()
}
