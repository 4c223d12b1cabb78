//! What containerd is told of containers, in order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::well_known_types::timestamp::Timestamp;
use containerd_shim_protos::protobuf::{EnumOrUnknown, MessageField};
use containerd_shim_protos::shim::event::Envelope;
use containerd_shim_protos::shim::events::ForwardRequest;
use containerd_shim_protos::shim_async::{Client, EventsClient};
use containerd_shim_protos::ttrpc;
use tokio::sync::Notify;

/// As many events are kept while containerd does not answer; the oldest go first.
const KEPT: usize = 2048;

/// How long one is waited for.
const LIMIT: Duration = Duration::from_secs(5);

/// How long a shim that ends waits until the last ones are told.
const LAST: Duration = Duration::from_secs(3);

/// Tells containerd, one event after the other.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    /// `None` where nobody is told.
    queue: Option<Arc<Queue>>,
    namespace: Arc<str>,
}

#[derive(Debug, Default)]
struct Queue {
    events: Mutex<VecDeque<Envelope>>,
    changed: Notify,
    empty: Notify,
}

impl Queue {
    fn events(&self) -> std::sync::MutexGuard<'_, VecDeque<Envelope>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Publisher {
    /// To the socket that containerd named in `TTRPC_ADDRESS`; without one nobody is told.
    #[must_use]
    pub(crate) fn new(address: &str, namespace: &str) -> Self {
        let namespace = namespace.into();
        if address.is_empty() {
            return Self { queue: None, namespace };
        }
        let queue = Arc::<Queue>::default();
        let address = if address.contains("://") { address.to_owned() } else { format!("unix://{address}") };
        tokio::spawn(tell(queue.clone(), address));
        Self { queue: Some(queue), namespace }
    }

    /// Tells an event; it is sent when all before it are. `kind` is the name of its message, which reflection knows
    /// too, at the price of memory that stays.
    pub(crate) fn publish(&self, topic: &str, kind: &str, event: &impl Message) {
        let Some(queue) = &self.queue else { return };
        let kind = format!("containerd.events.{kind}");
        let value = match event.write_to_bytes() {
            Ok(value) => value,
            Err(error) => return crate::sys::log(&format!("event {topic}: {error}")),
        };
        let envelope = Envelope {
            timestamp: MessageField::some(timestamp(SystemTime::now())),
            namespace: self.namespace.to_string(),
            topic: topic.to_owned(),
            event: MessageField::some(Any { type_url: kind, value, ..Any::default() }),
            ..Envelope::default()
        };
        let mut events = queue.events();
        if events.len() == KEPT {
            events.pop_front();
        }
        events.push_back(envelope);
        drop(events);
        queue.changed.notify_one();
    }

    /// Waits until all are told, but not for long.
    pub(crate) async fn flush(&self) {
        let Some(queue) = &self.queue else { return };
        let all = async {
            while !queue.events().is_empty() {
                queue.empty.notified().await;
            }
        };
        if tokio::time::timeout(LAST, all).await.is_err() {
            crate::sys::log("containerd does not take the last events");
        }
    }
}

async fn tell(queue: Arc<Queue>, address: String) {
    let mut client: Option<EventsClient> = None;
    let mut pause = Duration::from_millis(50);
    loop {
        let next = queue.events().front().cloned();
        let Some(envelope) = next else {
            queue.empty.notify_one();
            // A connection of its own costs a task and buffers; there is seldom more to tell.
            client = None;
            queue.changed.notified().await;
            continue;
        };
        let at = (envelope.timestamp.seconds, envelope.timestamp.nanos, envelope.topic.clone());
        match send(&mut client, &address, envelope).await {
            Ok(()) => {
                pause = Duration::from_millis(50);
                let mut events = queue.events();
                let same =
                    |one: &Envelope| (one.timestamp.seconds, one.timestamp.nanos, one.topic.clone()) == at;
                // While it was sent it may have been dropped for others.
                if events.front().is_some_and(same) {
                    events.pop_front();
                }
            }
            Err(_) => {
                client = None;
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LIMIT);
            }
        }
    }
}

async fn send(client: &mut Option<EventsClient>, address: &str, envelope: Envelope) -> ttrpc::Result<()> {
    let used = match client.take() {
        Some(client) => client,
        None => EventsClient::new(Client::connect(address).await?),
    };
    let request = ForwardRequest { envelope: MessageField::some(envelope), ..ForwardRequest::default() };
    match used.forward(ttrpc::context::with_duration(LIMIT), &request).await {
        // containerd has it and does not like it: the next one may be better.
        Ok(_) | Err(ttrpc::Error::RpcStatus(_)) => {
            *client = Some(used);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// A point in time as messages have it.
#[must_use]
pub(crate) fn timestamp(at: SystemTime) -> Timestamp {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or(0),
        ..Timestamp::default()
    }
}

/// A value of an enumeration in a message.
#[must_use]
pub(crate) fn choice<E: containerd_shim_protos::protobuf::Enum>(value: E) -> EnumOrUnknown<E> {
    EnumOrUnknown::new(value)
}
