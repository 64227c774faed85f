//! A name service that answers by a script: other addresses at the next look-up, as DNS rebinding has it.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What names lead to, and how often each was looked up.
#[derive(Debug, Default)]
pub struct ScriptedNames {
    names: Mutex<HashMap<String, Script>>,
}

#[derive(Debug, Default)]
struct Script {
    answers: VecDeque<Vec<IpAddr>>,
    asked: usize,
}

impl ScriptedNames {
    /// Lets `name` lead to the first of `answers`, at the next look-up to the next one, and from the last one on to that.
    pub fn set(&self, name: &str, answers: impl IntoIterator<Item = Vec<IpAddr>>) {
        let answers = answers.into_iter().collect();
        self.lock().insert(name.to_owned(), Script { answers, asked: 0 });
    }

    /// Looks `name` up.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] for a name that the script does not have.
    pub fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let mut names = self.lock();
        let script = names.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        script.asked += 1;
        let next = if script.answers.len() > 1 { script.answers.pop_front() } else { script.answers.front().cloned() };
        next.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// How often `name` was looked up since it was set.
    pub fn asked(&self, name: &str) -> usize {
        self.lock().get(name).map_or(0, |script| script.asked)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Script>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
