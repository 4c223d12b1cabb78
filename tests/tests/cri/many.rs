//! Many pods at once, and the events that a kubelet follows.

use k8s_cri::v1::{
    ContainerEventType, GetEventsRequest, RemovePodSandboxRequest, StartContainerRequest,
    StopPodSandboxRequest,
};
use red_tests::remark;
use red_tests::stage::eventually;

use crate::client::RuntimeClient;
use crate::pod::Pod;
use crate::{assert_no_leftovers, setup};

const PODS: usize = 10;
const WAITS: &str = "echo I am $WHO; exec sleep 1000";

#[test]
fn pods_start_and_stop_at_once() {
    let Some((cri, other)) = setup() else { return };
    let requests: Vec<_> =
        (0..PODS).map(|number| Pod::request(&cri, "red", &format!("many{number}"), |_| {})).collect();
    let configs: Vec<_> = requests.iter().map(|request| request.config.clone().unwrap_or_default()).collect();
    let asked = requests
        .into_iter()
        .map(|request| |mut cri: RuntimeClient| async move { cri.run_pod_sandbox(request).await });
    let sandboxes = cri.cri().ask_all(asked);
    let pods: Vec<_> = sandboxes
        .into_iter()
        .zip(configs)
        .map(|(sandbox, config)| {
            let id = sandbox.unwrap_or_else(|status| panic!("{status}\n{}", cri.log())).pod_sandbox_id;
            cri.note(&id);
            Pod::again(&cri, (id, config))
        })
        .collect();
    let nodes = [("app", &cri.stage.leaf), ("other", &other)];
    let requests =
        pods.iter().flat_map(|pod| nodes.map(|(name, node)| pod.create_request(pod.node(name, node, WAITS))));
    let asked =
        requests.map(|request| |mut cri: RuntimeClient| async move { cri.create_container(request).await });
    let created = cri.cri().ask_all(asked);
    let containers: Vec<_> =
        created.into_iter().map(|one| one.unwrap_or_else(|status| panic!("{status}")).container_id).collect();
    containers.iter().for_each(|id| cri.note(id));
    let asked = containers.iter().map(|id| {
        let request = StartContainerRequest { container_id: id.clone() };
        |mut cri: RuntimeClient| async move { cri.start_container(request).await }
    });
    for started in cri.cri().ask_all(asked) {
        started.unwrap_or_else(|status| panic!("{status}\n{}", cri.log()));
    }
    assert_eq!(cri.shim_pids().len(), PODS);
    for pod in &pods {
        for (name, _) in nodes {
            eventually("each tells who it is", || pod.log(name, "stdout") == format!("I am {name}\n"));
        }
    }
    let asked = pods.iter().map(|pod| {
        let request = StopPodSandboxRequest { pod_sandbox_id: pod.id.clone() };
        |mut cri: RuntimeClient| async move { cri.stop_pod_sandbox(request).await }
    });
    for stopped in cri.cri().ask_all(asked) {
        stopped.unwrap_or_else(|status| panic!("{status}\n{}", cri.log()));
    }
    let asked = pods.iter().map(|pod| {
        let request = RemovePodSandboxRequest { pod_sandbox_id: pod.id.clone() };
        |mut cri: RuntimeClient| async move { cri.remove_pod_sandbox(request).await }
    });
    for removed in cri.cri().ask_all(asked) {
        removed.unwrap_or_else(|status| panic!("{status}\n{}", cri.log()));
    }
    assert_no_leftovers(&cri);
}

#[test]
fn events_of_a_pod_are_in_order() {
    use ContainerEventType::{
        ContainerCreatedEvent as Created, ContainerDeletedEvent as Deleted, ContainerStartedEvent as Started,
        ContainerStoppedEvent as Stopped,
    };
    let Some((cri, _)) = setup() else { return };
    let begun = cri.cri().begin(|mut cri| async move { cri.get_container_events(GetEventsRequest {}).await });
    let pod = Pod::run(&cri, "red", "events");
    let id = pod.started(pod.node("app", &cri.stage.leaf, "exit 3"));
    pod.ended(&id);
    pod.remove(&id);
    let sandbox = pod.id.clone();
    pod.end();
    let mut stream = match cri.cri().finish(begun) {
        Ok(stream) => stream,
        Err(status) if status.code() == tonic::Code::Unimplemented => {
            return remark("this containerd has no events of CRI");
        }
        Err(status) => panic!("{status}"),
    };
    let mut seen = Vec::new();
    eventually("the sandbox's last event comes", || {
        let event = cri.cri().next(&mut stream);
        seen.extend(event.map(|event| (event.container_id.clone(), event.container_event_type())));
        seen.last() == Some(&(sandbox.clone(), Deleted))
    });
    let of = |of: &str| seen.iter().filter(|(id, _)| id == of).map(|(_, kind)| *kind).collect::<Vec<_>>();
    for id in [&id, &sandbox] {
        assert_eq!(of(id), [Created, Started, Stopped, Deleted], "{seen:?}");
    }
    assert_no_leftovers(&cri);
}
