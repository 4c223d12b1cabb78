//! Containers of a pod, as containerd's CRI sends them: each may be a node of its own.

use red_tests::engine::{Engine, Pod, annotate};
use red_tests::stage::Stage;
use serde_json::json;

fn key(name: &str) -> String {
    format!("bzh.redpesk.redpak.{name}")
}

#[test]
fn each_container_of_a_pod_is_the_node_that_is_named_for_it() {
    let engine = Engine::new(Stage::new());
    let pod = Pod::new(&engine);
    let leaf = engine.stage.leaf.display().to_string();
    let other = engine.stage.pool.join("core/mid").display().to_string();
    let empty = engine.stage.pool.mkdir("empty");
    let image = engine.stage.pool.mkdir("image");
    engine.stage.pool.write("image/.redpath.yaml", format!("redpath: {other}\n"));
    // What a pod's annotations are for its containers: `app` is the leaf, all others without an image of
    // theirs have none.
    let said = |name: &str, annotations: &[(&str, &str)], root: &std::path::Path| {
        let bundle = engine.node("b", &["sh", "-c", "echo $WHO; ls -d /nodes/*/*"], |spec| {
            pod.member(spec, name);
            spec["root"]["path"] = json!(root);
            annotations.iter().for_each(|(name, value)| annotate(spec, &key(name), value));
        });
        engine.run(&bundle)
    };
    let named = [("redpath.app", &*leaf), ("redpath.log", &*other)];
    let out = said("app", &named, &empty).good().out;
    assert_eq!(out, "app\n/nodes/app/private\n/nodes/core/usr\n/nodes/mid/shared\n");
    let out = said("log", &named, &empty).good().out;
    assert_eq!(out, "\n/nodes/core/usr\n/nodes/mid/shared\n");
    // A key of its own comes before the pod's; a sidecar without one gets the pod's.
    let both = [("redpath", &*other), ("redpath.app", &*leaf)];
    assert!(said("app", &both, &empty).good().out.starts_with("app\n"));
    assert!(said("log", &both, &empty).good().out.starts_with("\n"));
    // A sidecar for which nothing is said is what its image is.
    let bundle = engine.stage.plain("p", &["sh", "-c", "echo plain $WHO"], |spec| {
        pod.member(spec, "sidecar");
        annotate(spec, &key("redpath.app"), &leaf);
        annotate(spec, &key("strict"), "true");
    });
    assert_eq!(engine.run(&bundle).good().out, "plain\n");
    // A reference image says it too, and not another node than an annotation.
    assert!(said("log", &[("redpath.app", &leaf)], &image).good().out.starts_with("\n"));
    assert!(said("log", &[("redpath", &other)], &image).good().out.starts_with("\n"));
    for name in ["redpath", "redpath.log"] {
        let refused = said("log", &[(name, &leaf)], &image);
        let words = format!(
            "annotation {} names node {leaf}, and the root's .redpath.yaml:1:10 refers to node {other}",
            key(name)
        );
        assert!(refused.code == 1 && refused.err.contains(&words), "{}", refused.err);
    }
    // Without a name for the container nobody knows whose a key is.
    let refused = engine.refusal(|spec| annotate(spec, &key("plan-digest.app"), "x"));
    let words = "annotation `bzh.redpesk.redpak.plan-digest.app` is for container `app` of a pod";
    assert!(refused.contains(words), "{refused}");
}
