//! Interrupts, of the user or of a CI runner that ends a job.

use anstream::eprintln;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::{Exit, Problem};
use crate::engine::Interrupt;
use crate::engine::state::Store;

/// Listens for as long as the program runs. The first interrupt lets what is in flight finish, the second stops it. Where
/// nothing is in flight, one gives the locks of `stores` back and ends the program, and another does not wait for that.
///
/// # Errors
/// When the system has no such signals.
pub fn listen(stores: Vec<Store>) -> Result<watch::Sender<Interrupt>, Problem> {
    let failed = |error| Problem::new(format!("failed to listen for interrupts: {error}"));
    let mut signals = Signals {
        interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
        terminate: signal(SignalKind::terminate()).map_err(failed)?,
    };
    let asked = watch::Sender::new(Interrupt::None);
    let heard = asked.clone();
    tokio::spawn(async move {
        loop {
            signals.next().await;
            if heard.receiver_count() == 0 {
                tokio::select! {
                    () = release(&stores) => {}
                    () = signals.next() => {}
                }
                std::process::exit(Exit::Interrupted.code().into());
            }
            let next = match *heard.borrow() {
                Interrupt::None => Interrupt::Finish,
                Interrupt::Finish | Interrupt::Stop => Interrupt::Stop,
            };
            if next == Interrupt::Finish {
                eprintln!("finishing what is in flight; interrupt again to stop at once");
            }
            heard.send_replace(next);
        }
    });
    Ok(asked)
}

async fn release(stores: &[Store]) {
    for store in stores {
        if let Err(error) = store.release().await {
            Problem::from(error).print();
        }
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
