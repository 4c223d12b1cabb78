//! Forwarding of task events to containerd, in order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{EnumOrUnknown, MessageField};
use containerd_shim_protos::shim::event::Envelope;
use containerd_shim_protos::shim::events::ForwardRequest;
use containerd_shim_protos::shim_async::{Client, EventsClient};
use containerd_shim_protos::ttrpc;
use tokio::sync::Notify;

use crate::error::encode;

/// Maximum number of queued events; the oldest are dropped first.
const QUEUE_LIMIT: usize = 2048;

/// Timeout of one `Forward` call, and maximum delay between retries.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout of forwarding the remaining events at shutdown.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// Event queue of containerd's ttrpc events service.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    /// `None` without a ttrpc address: events are discarded.
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
    /// Starts forwarding to containerd's ttrpc socket (`TTRPC_ADDRESS`); an empty address discards all events.
    #[must_use]
    pub(crate) fn new(address: &str, namespace: &str) -> Self {
        let namespace = namespace.into();
        if address.is_empty() {
            return Self { queue: None, namespace };
        }
        let queue = Arc::<Queue>::default();
        let address = if address.contains("://") { address.to_owned() } else { format!("unix://{address}") };
        tokio::spawn(forward_all(queue.clone(), address));
        Self { queue: Some(queue), namespace }
    }

    /// Queues an event. `message_type` is the name of its protobuf message; reflection would find it too, but keeps
    /// its descriptors in memory.
    pub(crate) fn publish(&self, topic: &str, message_type: &str, event: &impl Message) {
        let Some(queue) = &self.queue else { return };
        let message_type = format!("containerd.events.{message_type}");
        let value = match encode(event, "event") {
            Ok(value) => value,
            Err(error) => return crate::sys::log(&format!("event {topic}: {error}")),
        };
        let envelope = Envelope {
            timestamp: MessageField::some(SystemTime::now().into()),
            namespace: self.namespace.to_string(),
            topic: topic.to_owned(),
            event: MessageField::some(Any { type_url: message_type, value, ..Any::default() }),
            ..Envelope::default()
        };
        let mut events = queue.events();
        if events.len() == QUEUE_LIMIT {
            events.pop_front();
        }
        events.push_back(envelope);
        drop(events);
        queue.changed.notify_one();
    }

    /// Waits until all queued events are forwarded, up to [`FLUSH_TIMEOUT`].
    pub(crate) async fn flush(&self) {
        let Some(queue) = &self.queue else { return };
        let all = async {
            while !queue.events().is_empty() {
                queue.empty.notified().await;
            }
        };
        if tokio::time::timeout(FLUSH_TIMEOUT, all).await.is_err() {
            crate::sys::log("timed out forwarding the remaining events to containerd");
        }
    }
}

async fn forward_all(queue: Arc<Queue>, address: String) {
    let mut client: Option<EventsClient> = None;
    let mut delay = Duration::from_millis(50);
    loop {
        let first = queue.events().front().cloned();
        let Some(envelope) = first else {
            queue.empty.notify_one();
            // An idle connection costs a task and its buffers, and events are rare.
            client = None;
            queue.changed.notified().await;
            continue;
        };
        let key = (envelope.timestamp.seconds, envelope.timestamp.nanos, envelope.topic.clone());
        match forward(&mut client, &address, envelope).await {
            Ok(()) => {
                delay = Duration::from_millis(50);
                let mut events = queue.events();
                let is_forwarded = |envelope: &Envelope| {
                    (envelope.timestamp.seconds, envelope.timestamp.nanos, envelope.topic.clone()) == key
                };
                // The event may have been dropped from a full queue meanwhile.
                if events.front().is_some_and(is_forwarded) {
                    events.pop_front();
                }
            }
            Err(_) => {
                client = None;
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(FORWARD_TIMEOUT);
            }
        }
    }
}

async fn forward(client: &mut Option<EventsClient>, address: &str, envelope: Envelope) -> ttrpc::Result<()> {
    let connected = match client.take() {
        Some(client) => client,
        None => EventsClient::new(Client::connect(address).await?),
    };
    let request = ForwardRequest { envelope: MessageField::some(envelope), ..ForwardRequest::default() };
    match connected.forward(ttrpc::context::with_duration(FORWARD_TIMEOUT), &request).await {
        // containerd rejected the event: a retry would fail again.
        Ok(_) | Err(ttrpc::Error::RpcStatus(_)) => {
            *client = Some(connected);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Protobuf field value of an enum.
#[must_use]
pub(crate) fn enum_value<E: containerd_shim_protos::protobuf::Enum>(value: E) -> EnumOrUnknown<E> {
    EnumOrUnknown::new(value)
}
