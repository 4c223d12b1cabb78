//! File watches. All watches of a shim share one inotify instance, since the instances of a user are limited to 128
//! by default (inotify(7), `max_user_instances`).

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use crate::error::best_effort;

/// Size of the event buffer in bytes; an event of a file has 16.
const BUFFER_BYTES: usize = 512;

/// The shim's inotify instance, which is created by the first watch.
#[derive(Debug, Default)]
pub(crate) struct Inotify(Mutex<Option<Arc<Instance>>>);

#[derive(Debug)]
struct Instance {
    fd: AsyncFd<OwnedFd>,
    /// Watches by watch descriptor; those of the same file share one.
    watches: Mutex<HashMap<i32, Vec<Arc<Notify>>>>,
}

/// A watched file; the watch is removed on drop.
#[derive(Debug)]
pub(crate) struct Watch {
    instance: Arc<Instance>,
    descriptor: i32,
    notify: Arc<Notify>,
}

impl Inotify {
    /// Watches a file.
    ///
    /// # Errors
    /// inotify_init1(2) fails with EMFILE at the limit of instances, inotify_add_watch(2) with ENOSPC at the limit of
    /// watches, or the file does not exist.
    pub(crate) fn watch(&self, path: &Path, flags: WatchFlags) -> io::Result<Watch> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let instance = match &*current {
            Some(instance) => instance.clone(),
            None => {
                let instance = Arc::new(Instance::new()?);
                tokio::spawn(instance.clone().dispatch());
                current.insert(instance).clone()
            }
        };
        drop(current);
        let mut watches = instance.watches();
        let descriptor = inotify::add_watch(&instance.fd, path, flags | WatchFlags::MASK_ADD)?;
        let notify = Arc::<Notify>::default();
        watches.entry(descriptor).or_default().push(notify.clone());
        drop(watches);
        Ok(Watch { instance, descriptor, notify })
    }
}

impl Instance {
    fn new() -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self { fd: crate::sys::async_fd(fd)?, watches: Mutex::default() })
    }

    fn watches(&self) -> std::sync::MutexGuard<'_, HashMap<i32, Vec<Arc<Notify>>>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notifies the watches of each event.
    async fn dispatch(self: Arc<Self>) {
        loop {
            let result = match self.fd.readable().await {
                Ok(mut ready) => ready.try_io(|fd| self.notify_all(fd)),
                Err(error) => Ok(Err(error)),
            };
            if let Ok(Err(error)) = result {
                return crate::sys::log(&format!("cannot read inotify events: {error}"));
            }
        }
    }

    /// Reads events until none is left, which is the error `WouldBlock`.
    fn notify_all(&self, fd: &AsyncFd<OwnedFd>) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
        let mut events = inotify::Reader::new(fd, &mut buffer);
        loop {
            let descriptor = match events.next() {
                Ok(event) => event.wd(),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let watches = self.watches();
            match watches.get(&descriptor) {
                Some(notifies) => notifies.iter().for_each(|notify| notify.notify_one()),
                // The queue has overflowed: any watch may have lost events.
                None if descriptor < 0 => watches.values().flatten().for_each(|notify| notify.notify_one()),
                // The last event of a removed watch.
                None => {}
            }
        }
    }
}

impl Watch {
    /// Waits for an event since the last call.
    pub(crate) async fn changed(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watches = self.instance.watches();
        if let Some(notifies) = watches.get_mut(&self.descriptor) {
            notifies.retain(|notify| !Arc::ptr_eq(notify, &self.notify));
            if notifies.is_empty() {
                watches.remove(&self.descriptor);
                // The kernel removes the watch of a deleted file by itself.
                best_effort(inotify::remove_watch(&self.instance.fd, self.descriptor));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_files_share_an_instance() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio runtime");
        runtime.block_on(async {
            let inotify = Inotify::default();
            let files: Vec<_> = (0..300).map(|number| dir.path().join(number.to_string())).collect();
            for file in &files {
                std::fs::write(file, "").expect("write");
            }
            let watch = |file: &Path| inotify.watch(file, WatchFlags::CLOSE_WRITE).expect("watch");
            let watches: Vec<_> = files.iter().map(|file| watch(file)).collect();
            let second = watch(&files[7]);
            std::fs::write(&files[7], "x").expect("write");
            watches[7].changed().await;
            second.changed().await;
            drop(second);
            std::fs::write(&files[7], "x").expect("write");
            watches[7].changed().await;
            let unchanged = tokio::time::timeout(std::time::Duration::from_millis(50), watches[8].changed());
            assert!(unchanged.await.is_err());
            let instance = watches[0].instance.clone();
            drop(watches);
            assert!(instance.watches().is_empty());
        });
    }
}
