//! A XenStore that runs whenever the client waits.

use core::sync::atomic::{AtomicU32, AtomicU64};
use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::vec::Vec;

use fades_xen_store::{Decoder, Kind, Message, Path, Request, Token, WatchEvent};

use super::{Memory, Wires};
use crate::hypercall::Port;
use crate::shared::{Overlay, PeerU32, PeerU64, Shared};
use crate::xenstore::{Wait, Xenstore};
use fades_ring::{Reader, Writer};

/// The ring's page from the store's side.
#[repr(C)]
struct DaemonPage {
    requests: [PeerU64; 128],
    replies: [AtomicU64; 128],
    requests_consumed: AtomicU32,
    requests_produced: PeerU32,
    replies_consumed: PeerU32,
    replies_produced: AtomicU32,
}

// SAFETY: atomics only.
unsafe impl Overlay for DaemonPage {}

/// Called after each write, with the path and the value.
type Hook<'a> = Box<dyn FnMut(&Store, &str, &str) + 'a>;

struct Ring {
    page: Shared<DaemonPage>,
    reader: Reader,
    writer: Writer,
    decoder: Decoder,
    out: Vec<u8>,
}

/// The store's tree and clock. Relative paths are below `/local/domain/7`.
pub(crate) struct Store<'a> {
    ring: RefCell<Ring>,
    pub(crate) nodes: RefCell<BTreeMap<String, String>>,
    watches: RefCell<Vec<(Path, Token)>>,
    hook: RefCell<Option<Hook<'a>>>,
    pub(crate) now: Cell<u64>,
    /// Does not answer any more.
    pub(crate) deaf: Cell<bool>,
    /// What was written, in order.
    pub(crate) log: RefCell<Vec<String>>,
}

const HOME: &str = "/local/domain/7";

fn absolute(path: &str) -> String {
    if path.starts_with(['/', '@']) { path.to_string() } else { std::format!("{HOME}/{path}") }
}

impl<'a> Store<'a> {
    /// A store, and the client's page.
    pub(crate) fn new<T: Overlay>(memory: &Memory) -> (Self, Shared<T>) {
        let page = memory.page();
        let daemon = memory.again(page.frame()).share::<DaemonPage>();
        let reader = Reader::attach(&daemon.requests_consumed);
        let writer = Writer::attach(&daemon.replies_produced);
        let ring = Ring { page: daemon, reader, writer, decoder: Decoder::new(), out: Vec::new() };
        let store = Self {
            ring: RefCell::new(ring),
            nodes: RefCell::default(),
            watches: RefCell::default(),
            hook: RefCell::default(),
            now: Cell::new(0),
            deaf: Cell::new(false),
            log: RefCell::default(),
        };
        (store, page.share())
    }

    /// A client of it.
    pub(crate) fn client<'b>(memory: &Memory, wires: &'b Wires) -> (Xenstore<&'b Wires, &'a Self>, &'a Self) {
        let (store, page) = Self::new(memory);
        let store: &'a Self = Box::leak(Box::new(store));
        (Xenstore::new(page, Port(1), wires, store), store)
    }

    pub(crate) fn on_write(&self, hook: impl FnMut(&Store, &str, &str) + 'a) {
        *self.hook.borrow_mut() = Some(Box::new(hook));
    }

    /// Sets a node as another domain does.
    pub(crate) fn set(&self, path: &str, value: &str) {
        let path = absolute(path);
        self.nodes.borrow_mut().insert(path.clone(), value.to_string());
        self.fire(&path);
    }

    pub(crate) fn get(&self, path: &str) -> Option<String> {
        self.nodes.borrow().get(&absolute(path)).cloned()
    }

    fn fire(&self, path: &str) {
        for (watched, token) in self.watches.borrow().iter() {
            if path.starts_with(&absolute(watched.as_str())) {
                let path = path.strip_prefix(&std::format!("{HOME}/")).unwrap_or(path);
                let path = if watched.is_absolute() { absolute(path) } else { path.to_string() };
                let event = WatchEvent { path: Path::new(&path).unwrap(), token: token.clone() };
                self.say(&event.message().unwrap());
            }
        }
    }

    /// Puts a message into the queue for the client.
    pub(crate) fn say(&self, message: &Message) {
        self.ring.borrow_mut().out.extend(message.encode());
    }

    /// Moves the reply ring's producer index as only a hostile store would.
    pub(crate) fn say_index(&self, index: u32) {
        let ring = self.ring.borrow();
        ring.page.replies_produced.store(index, core::sync::atomic::Ordering::Release);
    }

    fn answer(&self, message: &Message) -> Result<Vec<u8>, &'static str> {
        let request = Request::decode(message).unwrap();
        let node = |path: &Path| self.get(path.as_str()).ok_or("ENOENT");
        Ok(match request {
            Request::Read { path } => node(&path)?.into_bytes(),
            Request::Directory { path } => {
                let prefix = std::format!("{}/", absolute(path.as_str()));
                let nodes = self.nodes.borrow();
                let mut names: Vec<_> =
                    nodes.keys().filter_map(|key| key.strip_prefix(&prefix)?.split('/').next()).collect();
                names.dedup();
                if names.is_empty() && node(&path).is_err() {
                    return Err("ENOENT");
                }
                names.iter().flat_map(|name| [name.as_bytes(), b"\0"].concat()).collect()
            }
            Request::Write { path, value } => {
                let value = String::from_utf8(value).unwrap();
                self.log.borrow_mut().push(std::format!("{path}={value}"));
                self.set(path.as_str(), &value);
                let hook = self.hook.borrow_mut().take();
                if let Some(mut hook) = hook {
                    hook(self, path.as_str(), &value);
                    *self.hook.borrow_mut() = Some(hook);
                }
                b"OK\0".to_vec()
            }
            Request::MakeDirectory { path } => {
                self.nodes.borrow_mut().entry(absolute(path.as_str())).or_default();
                b"OK\0".to_vec()
            }
            Request::Remove { path } => {
                node(&path)?;
                let path = absolute(path.as_str());
                self.nodes
                    .borrow_mut()
                    .retain(|key, _| *key != path && !key.starts_with(&(path.clone() + "/")));
                b"OK\0".to_vec()
            }
            Request::SetPermissions { path, permissions } => {
                node(&path)?;
                let list: Vec<_> = permissions.list().iter().map(ToString::to_string).collect();
                self.log.borrow_mut().push(std::format!("{path}:{}", list.join(",")));
                b"OK\0".to_vec()
            }
            Request::Watch { path, token } => {
                self.watches.borrow_mut().push((path.clone(), token.clone()));
                self.say(&WatchEvent { path, token }.message().unwrap());
                b"OK\0".to_vec()
            }
            Request::Unwatch { path, token } => {
                self.watches.borrow_mut().retain(|watch| *watch != (path.clone(), token.clone()));
                b"OK\0".to_vec()
            }
            _ => return Err("ENOSYS"),
        })
    }

    /// Reads what was asked, and says what there is to say.
    fn run(&self) {
        loop {
            let mut bytes = [0; 100];
            let mut ring = self.ring.borrow_mut();
            let Ring { page, reader, writer, decoder, out } = &mut *ring;
            let done = writer
                .write(&page.replies_produced, &page.replies_consumed, &page.replies, &out[..])
                .unwrap();
            out.drain(..done);
            let len = reader
                .read(&page.requests_consumed, &page.requests_produced, &page.requests, &mut bytes)
                .unwrap();
            if len == 0 {
                return;
            }
            let (mut input, mut messages) = (&bytes[..len], Vec::new());
            while let Some(message) = decoder.push(&mut input).unwrap() {
                messages.push(message);
            }
            drop(ring);
            for message in messages {
                let (kind, payload) = match self.answer(&message) {
                    Ok(payload) => (message.kind(), payload),
                    Err(name) => (Kind::Error, [name.as_bytes(), b"\0"].concat()),
                };
                self.say(&Message::new(kind, message.header().request, 0, payload).unwrap());
            }
        }
    }
}

impl Wait for Store<'_> {
    fn now(&self) -> u64 {
        self.now.get()
    }

    fn wait(&self, _: Port, _: u64) {
        self.now.set(self.now.get() + 1);
        if !self.deaf.get() {
            self.run();
        }
    }
}
