//! The OCI runtime face as engines call it: verbs, answers, errors, and what a killed command leaves.
//!
//! ```text
//! scene   bundles and commands            life     from create to delete, and run
//! shapes  JSON against schemas and runc   answers  command lines, errors, the log
//! shaped  what a container makes of its cgroup and its process
//! limits  pause, update, ps, events       killed   commands killed at every point
//! terminal  terminals                     hooks    programs run at points of the life
//! together  two commands at once          instants  commands killed at any instant
//! hooks_inside  those in the container   notify   calls that an agent decides about
//! shaped  what a container makes of its cgroup and its process
//! ```

mod answers;
mod hooks;
mod hooks_inside;
mod instants;
#[cfg(feature = "fault-injection")]
mod killed;
mod life;
mod limits;
mod notify;
pub mod scene;
mod shaped;
mod shapes;
mod terminal;
mod together;

use crate::Test;

pub fn tests() -> Vec<Test> {
    let lists = [
        life::tests(),
        answers::tests(),
        shapes::tests(),
        shaped::tests(),
        limits::tests(),
        terminal::tests(),
        hooks::tests(),
        hooks_inside::tests(),
        together::tests(),
        instants::tests(),
        notify::tests(),
        #[cfg(feature = "fault-injection")]
        killed::tests(),
    ];
    lists.into_iter().flatten().collect()
}
